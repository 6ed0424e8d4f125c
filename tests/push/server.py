"""A real Daphne, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.harness import until

_LISTENING = re.compile(r"Listening on TCP address 127\.0\.0\.1:(\d+)")


class Daphne:
    """Serves `tests.push.asgi` on a port of its own, until the block is left."""

    def __init__(self, database_url: str, folder: Path, **environment: str) -> None:
        self._log_path = folder / "daphne.log"
        self._log = self._log_path.open("ab")
        command = ["-m", "daphne", "-b", "127.0.0.1", "-p", "0"]
        self.process = subprocess.Popen(
            [sys.executable, *command, "tests.push.asgi:application"],
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.push.settings",
                "DATABASE_URL": database_url,
                "PYTHONUNBUFFERED": "1",
            }
            | environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.port = 0

    def __enter__(self) -> Self:
        self.port = until(self._port, "Daphne listens")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait(20)
        self._log.close()
        print(self.log())  # shown by pytest if the test fails

    def log(self) -> str:
        """Everything that it has printed."""
        return self._log_path.read_text(errors="replace")

    def _port(self) -> int:
        assert self.process.poll() is None, self.log()
        found = _LISTENING.search(self.log())
        return int(found[1]) if found else 0
