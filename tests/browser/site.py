"""A site in a Daphne of its own, which can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.harness import until
from tests.ports import reserved_port

SETTINGS = "tests.browser.settings"


class Site:
    """Daphne on a port that it keeps over restarts; the example project by default."""

    def __init__(
        self,
        database_url: str,
        folder: Path,
        *,
        settings: str = SETTINGS,
        application: str = "example_project.asgi:application",
    ) -> None:
        self._environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": settings,
            "DATABASE_URL": database_url,
        }
        self._application = application
        self._log_path = folder / "daphne.log"
        self._log_path.touch()
        self._stack = ExitStack()
        self._port = self._stack.enter_context(reserved_port())
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        self._stack.close()
        print(self._log_path.read_text(errors="replace"))  # shown if the test fails

    @property
    def url(self) -> str:
        """The address of the site, without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it listens."""
        begun = self._log_path.stat().st_size
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "daphne", "-b", "127.0.0.1"),
                    *("-p", str(self._port), self._application),
                ],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(lambda: self._listens(begun), "a site that listens")

    def kill(self) -> None:
        """SIGKILL it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _listens(self, begun: int) -> bool:
        assert self._process.poll() is None, self._log_path.read_text()
        said = self._log_path.read_bytes()[begun:].decode(errors="replace")
        return f"Listening on TCP address 127.0.0.1:{self._port}" in said
