"""A real web server, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.cluster.harness import until

_LISTENING = re.compile(r"Listening on TCP address 127\.0\.0\.1:(\d+)")


class WebServer:
    """daphne on the loopback interface; the log is in a file."""

    def __init__(self, database_url: str, folder: Path, port: int = 0) -> None:
        self.log_path = folder / "web_log"
        self._log = self.log_path.open("wb")
        endpoint = f"tcp:port={port}:interface=127.0.0.1:backlog=1024"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "daphne", "--endpoint", endpoint),
                "example_project.asgi:application",
            ],
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.webhooks.settings",
                "DATABASE_URL": database_url,
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
        print(self.log())  # shown by pytest if the test fails

    def log(self) -> str:
        """Everything that the server has printed."""
        return self.log_path.read_text(errors="replace")

    def port(self) -> int:
        """Where it listens, once it does."""
        until(lambda: _LISTENING.search(self.log()), "a web server")
        return int(_LISTENING.findall(self.log())[0])

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()
