"""Several commands run as one: their lines together, and all of them end together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType

from django_workflows.worker.q2.children import end_with_parent

#: Seconds to wait for the last lines of what has ended.
_LAST_LINES = 5.0
#: What takes a command's name and a line that it has written.
Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class Part:
    """A command, how it is asked to end and how many seconds it has for that."""

    name: str
    command: Sequence[str]
    signal: signal.Signals
    #: Whether all its processes are asked, or only the first.
    asks_all: bool
    grace: float


class _Running:
    """A command's processes: a session of their own, so that signals of a terminal
    come to us alone."""

    def __init__(self, part: Part, environment: dict[str, str]) -> None:
        self.part = part
        self.exit_code: int | None = None
        parent = os.getpid()
        self.process = subprocess.Popen(
            part.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            # Before any thread is started, and with nothing but a system call.
            preexec_fn=lambda: end_with_parent(parent, part.signal),
        )

    def read(self, tell: Tell) -> None:
        """Tell each line, until all its processes have ended."""
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                tell(self.part.name, line.rstrip("\n"))

    def await_end(self, ended: Callable[[_Running], None]) -> None:
        """Tell that the first process has ended; it stays as a zombie, so that its
        number belongs to nobody else."""
        with suppress(ChildProcessError):  # it was killed, and cleared away
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        ended(self)

    def ask(self) -> None:
        """Ask it to end."""
        pid = self.process.pid
        with suppress(ProcessLookupError):
            if self.part.asks_all:
                os.killpg(pid, self.part.signal)
            else:
                os.kill(pid, self.part.signal)

    def clear(self) -> None:
        """Kill what is left of it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.exit_code = self.process.wait()


def run_together(parts: Sequence[Part], environment: dict[str, str], tell: Tell) -> int:
    """Run commands until SIGINT or SIGTERM, or until one of them ends.

    Then all of them are asked to end, and what does not in time, or when the signal
    comes again, is killed. Must be called in the main thread. Returns 0 after a signal
    and an orderly end of all, else 1.
    """
    #: Parts that have ended, and None for a signal.
    news: SimpleQueue[_Running | None] = SimpleQueue()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        news.put(None)

    before = {
        each: signal.signal(each, on_signal)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    running: list[_Running] = []
    readers: list[threading.Thread] = []
    try:
        running += [_Running(part, environment) for part in parts]
        for each in running:
            readers.append(
                threading.Thread(target=each.read, args=(tell,), daemon=True)
            )
            threading.Thread(
                target=each.await_end, args=(news.put,), daemon=True
            ).start()
        for reader in readers:
            reader.start()
        first = news.get()
        is_orderly = _end(running, first, news)
    finally:
        for each in running:
            each.clear()
        for reader in readers:
            reader.join(_LAST_LINES)
        for signum, handler in before.items():
            signal.signal(signum, handler)
    for each in running:
        tell(each.part.name, f"ended with exit code {each.exit_code}")
    return 0 if first is None and is_orderly else 1


def _end(
    running: Sequence[_Running],
    first: _Running | None,
    news: SimpleQueue[_Running | None],
) -> bool:
    """Ask all to end and wait for them; False if some did not in time."""
    left = [each for each in running if each is not first]
    for each in left:
        each.ask()
    deadline = time.monotonic() + max(each.part.grace for each in running)
    while left:
        try:
            ended = news.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return False
        if ended is None:
            return False  # asked again: now
        left = [each for each in left if each is not ended]
    return True
