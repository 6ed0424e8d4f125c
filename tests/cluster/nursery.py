"""Processes that have imported the project begin as forks of one that has done so.

To import it takes a second of computing, and a hundred clusters are started. As a
module, this is the process that they are forked from: it reads one request a line, and
answers with what becomes of its children, until its standard input is closed.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

#: What processes look up when they need it; all else may decide what is imported.
_OF_EACH = {"MARKS", "PYTEST_CURRENT_TEST", "TERM", "COLUMNS", "LINES", "TUNED"}


# -- in the tests ----------------------------------------------------------------------


class Child:
    """A process begun by a nursery, with the interface of ``subprocess.Popen``."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid

    def kill(self) -> None:
        """SIGKILL it, unless it has ended."""
        if not self._nursery.has_ended(self.pid):
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code, once it has ended. Raises TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._nursery.has_ended(self.pid):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self._nursery.listen(left)
        return self._nursery.exit_codes[self.pid]


class Nursery:
    """A process that has imported the project of an environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.nursery"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        #: Of children that have ended.
        self.exit_codes: dict[int, int] = {}
        self._born: list[int] = []
        self._unread = b""

    def begin(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> Child:
        """Begin ``python -m ARGUMENTS`` in a session of its own."""
        request = [list(arguments), dict(environment), str(log)]
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        while not self._born:
            self.listen(None)
        return Child(self, self._born.pop())

    def has_ended(self, pid: int) -> bool:
        self.listen(0)
        return pid in self.exit_codes

    def listen(self, timeout: float | None) -> None:
        """Take in what has become of children; waits until there is something."""
        assert self._process.stdout is not None
        news = self._process.stdout.fileno()
        if not select.select([news], [], [], timeout)[0]:
            return
        read = os.read(news, 65536)
        assert read, "the process that others are forked from has ended"
        *lines, self._unread = (self._unread + read).split(b"\n")
        for line in lines:
            pid, code = json.loads(line)
            if code is None:
                self._born.append(pid)
            else:
                self.exit_codes[pid] = code

    def close(self) -> None:
        """Let the process end; its children go on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


_nurseries: dict[str, Nursery] = {}


def begin(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Begin ``python -m ARGUMENTS`` from a process that has its environment."""
    common = {name: environment[name] for name in environment.keys() - _OF_EACH}
    key = json.dumps(common, sort_keys=True)
    if key not in _nurseries:
        _nurseries[key] = nursery = Nursery(common)
        atexit.register(nursery.close)
    return _nurseries[key].begin(arguments, environment, log)


# -- in the process that others are forked from ----------------------------------------


def _serve(requests: TextIO) -> list[str] | None:
    """Fork as requested; returns what to run in a child, None in the end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    while True:
        ready, _, _ = select.select([requests.fileno(), reader], [], [])
        if reader in ready:
            os.read(reader, 65536)
            _tell_ends()
        if requests.fileno() in ready:
            line = requests.readline()
            if not line:
                return None
            arguments, environment, log = json.loads(line)
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for descriptor in (reader, writer):
                    os.close(descriptor)
                _settle_in(environment, log)
                return list(arguments)
            _tell(pid, None)


def _tell_ends() -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell(ended[0], os.waitstatus_to_exitcode(ended[1]))


def _tell(*news: Any) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


def _settle_in(environment: dict[str, str], log: str) -> None:
    """Become what a process begun by itself would be."""
    os.setsid()
    # Shells have what they begin in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDONLY)
    # For reading, too: a terminal becomes that of the session, whose keys are heard.
    file = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor, place in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(descriptor, place)
    os.close(nothing)
    os.close(file)
    if tuned := json.loads(environment.get("TUNED", "{}")):
        from django.conf import settings
        from django.test import override_settings

        common = getattr(settings, "WORKFLOWS", {})
        override_settings(WORKFLOWS={**common, **tuned}).enable()


def _import_project() -> None:
    import django

    django.setup()
    from django.core.checks import run_checks
    from django.core.management import load_command_class
    from django.db import connections

    load_command_class("django_workflows", "workflows").create_parser("", "workflows")
    run_checks()
    # Unless told otherwise, Django checks all databases since 6.1: it asks SQLite for
    # what it can do. An open connection would be shared by all.
    connections.close_all()
    for connection in connections.all(initialized_only=True):
        assert connection.connection is None, "it would be shared by all"


if __name__ == "__main__":
    _import_project()
    # Unbuffered: what was read too early would be lost to `select`.
    arguments = _serve(os.fdopen(0, "r", buffering=1, closefd=False))
    if arguments is not None:
        module, *sys.argv[1:] = arguments
        runpy.run_module(module, run_name="__main__", alter_sys=True)
