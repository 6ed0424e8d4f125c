"""Web server and worker as one command, which leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.error import HTTPError

import psutil
import pytest
from django.db import connection

from django_workflows import start
from django_workflows.management.together import Part, run_together
from tests.cluster.harness import DEADLINE, ClusterProcess, until
from tests.cluster.workflows import hop
from tests.databases import url_of
from tests.ports import reserved_port

SETTINGS = "tests.management.settings"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux")


def python(name: str, code: str, grace: float = 60, **more: bool) -> Part:
    options = {"asks_all": False} | more
    command = [sys.executable, "-uc", code]
    return Part(name, command, signal.SIGTERM, options["asks_all"], grace)


# Writes the pids of itself and of a child, and waits.
PARENT = """
import os, signal, subprocess, sys, time
{before}
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("pids", os.getpid(), child.pid)
{then}
"""
WAITING = PARENT.format(before="", then="time.sleep(600)")
STUBBORN = PARENT.format(
    before="signal.signal(signal.SIGTERM, lambda *_: print('no'))",
    then="while True: time.sleep(600)",
)
ENDING = PARENT.format(before="", then="os._exit(3)")


class Lines:
    """What was told, and what happens then."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.pids: set[int] = set()
        self.complete = threading.Event()
        self.awaited = 0

    def __call__(self, name: str, line: str) -> None:
        self.told.append((name, line))
        if line.startswith("pids "):
            self.pids |= {int(pid) for pid in line.split()[1:]}
        if len(self.pids) == self.awaited:
            self.complete.set()

    def are_gone(self) -> bool:
        return not any(is_alive(pid) for pid in self.pids)


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def tell() -> Iterator[Lines]:
    lines = Lines()
    yield lines
    until(lines.are_gone, "the end of all processes")


def signal_when_complete(tell: Lines, count: int, *signals: signal.Signals) -> None:
    """Send us signals as soon as so many processes are there."""
    tell.awaited = count

    def send() -> None:
        tell.complete.wait(DEADLINE)
        for each in signals:
            os.kill(os.getpid(), each)

    threading.Thread(target=send).start()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_with_their_children(
    tell: Lines, signum: signal.Signals
) -> None:
    before = signal.getsignal(signal.SIGINT)
    signal_when_complete(tell, 4, signum)
    parts = [python("one", WAITING), python("two", WAITING, asks_all=True)]
    assert run_together(parts, dict(os.environ), tell) == 0
    assert ("one", f"ended with exit code {-signal.SIGTERM}") in tell.told
    assert signal.getsignal(signal.SIGINT) is before


def test_the_end_of_one_ends_the_others(tell: Lines) -> None:
    parts = [python("one", WAITING), python("two", ENDING)]
    assert run_together(parts, dict(os.environ), tell) == 1
    assert ("two", "ended with exit code 3") in tell.told


def test_what_does_not_end_in_time_is_killed(tell: Lines) -> None:
    signal_when_complete(tell, 2, signal.SIGINT)
    assert run_together([python("one", STUBBORN, 0.2)], dict(os.environ), tell) == 1
    assert ("one", f"ended with exit code {-signal.SIGKILL}") in tell.told


def test_a_second_signal_kills_at_once(tell: Lines) -> None:
    tell.awaited = 2

    def interrupt() -> None:
        tell.complete.wait(DEADLINE)
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: ("one", "no") in tell.told, "the first signal")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert run_together([python("one", STUBBORN)], dict(os.environ), tell) == 1


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE)
    except HTTPError:
        return True  # there is nothing at the root
    except OSError:
        return False
    return True


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_dev_runs_web_server_and_worker_and_ends_both(
    sessions_end: None, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(reserved_port())
        command = ("workflows", "dev", f"127.0.0.1:{port}", "--processes", "1")
        url = url_of(connection.settings_dict)
        dev = stack.enter_context(
            ClusterProcess(url, tmp_path, *command, settings=SETTINGS)
        )
        until(lambda: answers(port), "an answer of the web server")
        assert start(hop, "key").result(timeout=90) == "key"
        family = psutil.Process(dev.pid).children(recursive=True)
        for each in family:
            stack.callback(kill, each)
        assert len(family) >= 6
        os.kill(dev.pid, signal.SIGINT)
        assert dev.end() == 0
        until(lambda: not any(is_alive(each.pid) for each in family), "all to be gone")
        log = dev.log()
    assert "web    | ended with exit code 0\n" in log
    assert "worker | ended with exit code 0\n" in log
    # Where an interrupt meets code that can raise nothing, such as a weak reference's,
    # Python says that it ignores it, and the reloader ends its server after a moment.
    ignored = r"Exception ignored in:.*?KeyboardInterrupt: *\n"
    assert "Traceback" not in re.sub(ignored, "", log, flags=re.DOTALL)
    assert all(line[:9] in ("web    | ", "worker | ") for line in log.splitlines())
