"""The guard refuses what would not replay, and nothing else."""

from __future__ import annotations

import asyncio
import cProfile
import datetime
import functools
import gc
import io
import json
import logging
import os
import pathlib
import random
import secrets
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
import warnings
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from django_workflows.errors import WorkflowGuardError
from django_workflows.replay import guard_profile
from django_workflows.replay.guard import Guard, watching, workflow_location
from django_workflows.replay.guard_profile import ProfileGuard

HERE = __file__


class Clock(datetime.datetime):
    """A subclass: its `now` is not `datetime.datetime.now`."""


@pytest.fixture
def refusals() -> list[WorkflowGuardError]:
    return []


@pytest.fixture(params=dict.fromkeys((Guard, ProfileGuard)))
def kind(request: pytest.FixtureRequest) -> type[Guard]:
    """This Python version's guard, and what it falls back to."""
    kind: type[Guard] = request.param
    return kind


@pytest.fixture
def guard(kind: type[Guard], refusals: list[WorkflowGuardError]) -> Guard:
    return kind(refusals.append)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


@pytest.fixture
def unconnected() -> Iterator[socket.socket]:
    with socket.socket() as unconnected:
        yield unconnected


REFUSED: list[tuple[str, Callable[[], Any]]] = [
    ("time.time()", lambda: time.time()),
    ("time.time_ns()", lambda: time.time_ns()),
    ("time.monotonic()", lambda: time.monotonic()),
    ("time.perf_counter()", lambda: time.perf_counter()),
    ("time.process_time()", lambda: time.process_time()),
    ("time.sleep()", lambda: time.sleep(0)),
    ("time.gmtime()", lambda: time.gmtime()),
    ("time.localtime()", lambda: time.localtime()),
    ("time.strftime()", lambda: time.strftime("%Y")),
    ("datetime.datetime.now()", lambda: datetime.datetime.now()),
    ("datetime.datetime.now()", lambda: datetime.datetime.now(tz=datetime.UTC)),
    ("datetime.datetime.now()", lambda: Clock.now()),
    ("django.utils.timezone.now()", lambda: timezone.now()),
    ("datetime.datetime.today()", lambda: datetime.datetime.today()),
    ("datetime.date.today()", lambda: datetime.date.today()),
    ("random.random()", lambda: random.random()),
    ("random.randint()", lambda: random.randint(1, 6)),
    ("random.shuffle()", lambda: random.shuffle([1, 2])),
    ("random.seed()", lambda: random.seed(1)),
    ("unseeded random.Random()", lambda: random.Random()),
    ("unseeded random.Random()", lambda: random.Random(None)),
    ("os.urandom()", lambda: os.urandom(1)),
    ("uuid.uuid4()", lambda: uuid.uuid4()),
    ("uuid.uuid1()", lambda: uuid.uuid1()),
    ("secrets.token_hex()", lambda: secrets.token_hex()),
    ("numpy.random's global generator", lambda: numpy.random.rand()),
    ("os.urandom()", lambda: numpy.random.default_rng()),
    ("os.getpid()", lambda: os.getpid()),
    ("os.fork()", lambda: os.fork()),
    ("os.system()", lambda: os.system("true")),
    ("subprocess.run()", lambda: subprocess.run(["true"])),
    ("open()", lambda: open(HERE)),  # noqa: SIM115
    ("pathlib.Path.read_text()", lambda: pathlib.Path(HERE).read_text()),
    ("os.putenv()", lambda: os.environ.__setitem__("GUARDED", "1")),
    ("os.chdir()", lambda: os.chdir(".")),
    ("os.listdir()", lambda: os.listdir()),
    ("os.stat()", lambda: os.path.exists(HERE)),
    ("tempfile.mkdtemp()", lambda: tempfile.mkdtemp()),
    ("input()", lambda: input()),
    ("socket.socket()", lambda: socket.socket()),
    ("socket.create_connection()", lambda: socket.create_connection(("::1", 9))),
    ("socket.gethostname()", lambda: socket.gethostname()),
    ("select.select()", lambda: select.select([], [], [], 0)),
    ("threading.Thread.start()", lambda: threading.Thread(target=int).start()),
    ("threading.Condition.wait()", lambda: threading.Event().wait(0)),
    ("sqlite3.connect()", lambda: sqlite3.connect(":memory:")),
    ("a database query (Django ORM)", lambda: ContentType.objects.count()),
]


@pytest.mark.parametrize(("name", "call"), REFUSED)
def test_guard_refuses_call_by_name(
    name: str,
    call: Callable[[], Any],
    guard: Guard,
    refusals: list[WorkflowGuardError],
) -> None:
    with pytest.raises(WorkflowGuardError) as caught, guard:
        call()

    assert refusals == [caught.value]
    message = str(caught.value)
    assert name in message
    assert f"{HERE}:{call.__code__.co_firstlineno}" in message
    assert sys.getprofile() is None


def test_guard_refuses_open_socket_and_connection(
    connection: sqlite3.Connection, unconnected: socket.socket, guard: Guard
) -> None:
    with pytest.raises(WorkflowGuardError, match=r"socket\.connect\(\)"), guard:
        unconnected.connect(("127.0.0.1", 9))
    with pytest.raises(WorkflowGuardError, match=r"Connection\.execute\(\)"), guard:
        connection.execute("select 1")


@pytest.mark.parametrize(
    ("call", "fix"),
    [
        (lambda: time.time(), "`django_workflows.now()`"),
        (lambda: time.sleep(1), "`await django_workflows.sleep(...)`"),
        (lambda: random.random(), "`django_workflows.random()`"),
        (lambda: uuid.uuid4(), "`django_workflows.uuid4()`"),
        (lambda: pathlib.Path(HERE).read_text(), "Move this into a @step"),
        (lambda: ContentType.objects.count(), "Move this into a @step"),
    ],
)
def test_refusal_names_the_fix(call: Callable[[], Any], fix: str, guard: Guard) -> None:
    with pytest.raises(WorkflowGuardError) as caught, guard:
        call()
    assert fix in str(caught.value)


def test_refusal_inside_a_library_offers_a_step_too(guard: Guard) -> None:
    with pytest.raises(WorkflowGuardError) as caught, guard:
        timezone.now()
    assert "django_workflows.now()" in str(caught.value)
    assert "Or move this into a @step" in str(caught.value)


def _helper() -> float:
    return time.time()  # the refused line


def test_refusal_shows_line_of_helper(guard: Guard) -> None:
    with pytest.raises(WorkflowGuardError) as caught, guard:
        _helper()
    assert f"{HERE}:{_helper.__code__.co_firstlineno + 1}" in str(caught.value)
    assert "the refused line" in str(caught.value)


ALLOWED: list[Callable[[], Any]] = [
    lambda: random.Random(3).random(),
    lambda: numpy.random.default_rng(3).random(),
    lambda: uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"),
    lambda: uuid.UUID(int=1),
    lambda: time.gmtime(0),
    lambda: time.localtime(0),
    lambda: time.strftime("%Y", time.gmtime(0)),
    lambda: datetime.datetime(2024, 1, 1).isoformat(),
    lambda: datetime.datetime.fromtimestamp(0, tz=datetime.UTC),
    lambda: datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo")),
    lambda: json.loads(json.dumps({"a": [1, 2.5, None]})),
    lambda: io.BytesIO(b"x").read() + io.StringIO("x").read().encode(),
    lambda: print("printing is allowed"),
    lambda: traceback.format_stack(),
    lambda: os.path.join("a", "b"),
    lambda: os.environ.get("HOME"),
    lambda: sorted([3, 1, 2], key=lambda x: -x),
]


@pytest.mark.parametrize("call", ALLOWED)
def test_guard_lets_pure_code_run(
    call: Callable[[], Any], guard: Guard, refusals: list[WorkflowGuardError]
) -> None:
    with guard:
        call()
        assert refusals == []
        with pytest.raises(WorkflowGuardError):
            time.time()
    assert len(refusals) == 1
    time.time()


def test_guard_lets_logging_with_all_its_io_run(
    guard: Guard, tmp_path: pathlib.Path, refusals: list[WorkflowGuardError]
) -> None:
    class Slow(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"{time.time()} {super().format(record)}"

    logger = logging.getLogger("tests.guard.file")
    path = tmp_path / "log"
    handler = logging.FileHandler(path, delay=True)
    handler.setFormatter(Slow())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    with guard:
        logger.info("first")
        try:
            raise ValueError("logged")
        except ValueError:
            logger.exception("second")
    logger.removeHandler(handler)
    handler.close()

    assert "first" in path.read_text()
    assert "ValueError: logged" in path.read_text()
    assert refusals == []


def test_guard_lets_warnings_run(guard: Guard) -> None:
    with guard, warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.warns(UserWarning, match="careful"):
            warnings.warn("careful", stacklevel=1)


def test_guard_lets_imports_run_with_module_code(
    guard: Guard, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_in_a_burst.py").write_text(
        "import time\nimport uuid\nSTARTED = time.time()\nNAME = uuid.uuid4()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with guard:
        import imported_in_a_burst  # type: ignore[import-not-found]

        assert imported_in_a_burst.STARTED > 0
        with pytest.raises(WorkflowGuardError):
            time.time()


def test_guard_lets_finalizers_run(
    guard: Guard, refusals: list[WorkflowGuardError]
) -> None:
    done: list[float] = []

    class Finalized:
        def __del__(self) -> None:
            done.append(time.time())

    def hook(phase: str, info: dict[str, int]) -> None:
        done.append(time.time())

    gc.callbacks.append(hook)
    try:
        with guard:
            Finalized()
            gc.collect()
    finally:
        gc.callbacks.remove(hook)
    assert len(done) >= 3
    assert refusals == []


def test_guard_lets_signal_handlers_run(
    guard: Guard, refusals: list[WorkflowGuardError]
) -> None:
    """A worker's handlers run on the thread that runs the bursts."""
    pids: list[int] = []

    def handler(number: int, frame: Any) -> None:
        pids.append(os.getpid())

    earlier = signal.signal(signal.SIGUSR2, handler)
    try:
        with guard:
            signal.raise_signal(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, earlier)
    assert pids == [os.getpid()]
    assert refusals == []


def test_exemption_ends_at_the_burst(
    guard: Guard, refusals: list[WorkflowGuardError]
) -> None:
    """A burst that is itself run below logging or an import is guarded all the same."""

    class Burst(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with guard:
                time.time()

    with pytest.raises(WorkflowGuardError):
        Burst().handle(logging.LogRecord("x", 10, HERE, 1, "x", (), None))
    assert len(refusals) == 1


def test_swallowed_refusal_was_reported(
    guard: Guard, refusals: list[WorkflowGuardError]
) -> None:
    """CPython drops a profile function that raises, so the second call may pass: the
    burst must be given up for the first."""
    with guard:
        for _ in range(2):
            try:
                time.time()
            except Exception:
                continue
    assert refusals


def test_next_burst_is_guarded_after_refusal(
    guard: Guard, refusals: list[WorkflowGuardError]
) -> None:
    for count in (1, 2, 3):
        with pytest.raises(WorkflowGuardError), guard:
            time.time()
        assert len(refusals) == count


def test_nested_bursts_restore_the_outer_one(
    kind: type[Guard], guard: Guard, refusals: list[WorkflowGuardError]
) -> None:
    inner_refusals: list[WorkflowGuardError] = []
    inner = kind(inner_refusals.append)
    with guard:
        with pytest.raises(WorkflowGuardError), inner:
            time.time()
        assert (len(inner_refusals), len(refusals)) == (1, 0)
        with guard:
            pass
        with pytest.raises(WorkflowGuardError):
            time.time()
        assert (len(inner_refusals), len(refusals)) == (1, 1)
    time.time()


def test_paused_guard_lets_all_run(
    guard: Guard, refusals: list[WorkflowGuardError]
) -> None:
    """Where pausing is worth while; elsewhere it does nothing."""
    with guard:
        paused = guard.pause()
        if paused is not None:
            time.time()
            assert guard.pause() is None
        guard.unpause(paused)
        with pytest.raises(WorkflowGuardError):
            time.time()
    guard.unpause(guard.pause())
    time.time()


def test_watching_refuses_nothing_between_bursts(
    guard: Guard, refusals: list[WorkflowGuardError]
) -> None:
    with watching:
        time.time()
        for count in (1, 2):
            with pytest.raises(WorkflowGuardError), guard:
                time.time()
            time.time()
            assert len(refusals) == count
    time.time()


def test_profile_guard_leaves_a_foreign_profiler_alone(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refusals: list[WorkflowGuardError],
) -> None:
    monkeypatch.setattr(guard_profile, "_warned", False)
    guard = ProfileGuard(refusals.append)
    events: list[str] = []

    def foreign(frame: Any, event: str, arg: Any) -> None:
        events.append(event)

    caplog.set_level(logging.WARNING)
    sys.setprofile(foreign)
    try:
        for _ in range(2):
            with guard:
                time.time()
                assert sys.getprofile() is foreign
                guard.unpause(guard.pause())
        assert sys.getprofile() is foreign
    finally:
        sys.setprofile(None)
    assert refusals == []
    assert events
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "Another profiler is active" in text]) == 1


def test_guard_and_cprofile_leave_each_other_alone(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_profile, "_warned", True)
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        before = sys.getprofile()
        with guard:
            json.dumps({})
        assert sys.getprofile() is before
    finally:
        profiler.disable()
    profiler.create_stats()
    assert any("dumps" in key[2] for key in profiler.stats)


@pytest.mark.skipif(Guard is ProfileGuard, reason="a profile function must give way")
def test_guard_works_beside_other_profilers(
    refusals: list[WorkflowGuardError],
) -> None:
    guard = Guard(refusals.append)
    sys.setprofile(lambda frame, event, arg: None)
    try:
        with pytest.raises(WorkflowGuardError), guard:
            time.time()
        assert sys.getprofile() is not None
    finally:
        sys.setprofile(None)


def test_other_threads_are_unaffected(guard: Guard) -> None:
    go, done = threading.Event(), threading.Event()
    times: list[float] = []

    def elsewhere() -> None:
        go.wait()
        times.append(time.time())
        open(HERE).close()
        done.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with guard:
        go.set()
        while not done.is_set():
            pass
    thread.join()
    assert len(times) == 1


def test_django_guard_switched_off_is_no_way_around(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

    async def burst() -> int:
        with guard:
            return ContentType.objects.count()

    with pytest.raises(WorkflowGuardError, match="database query"):
        asyncio.run(burst())


def test_library_loaded_later_is_watched(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    import types

    class Session:
        def request(self) -> None: ...

    fake = types.ModuleType("requests.sessions")
    fake.Session = Session  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "requests.sessions", fake)
    # Should the real one be loaded already, this is no more than its replacement.
    monkeypatch.setitem(sys.modules, "requests.loaded_later", fake)
    with (
        pytest.raises(WorkflowGuardError, match=r"requests\.request\(\).*fetch"),
        guard,
    ):
        Session().request()


def test_workflow_location_skips_libraries() -> None:
    found: list[tuple[str, int]] = []
    callback = functools.partial(lambda: found.append(workflow_location()))
    line = sys._getframe().f_lineno + 1
    assert workflow_location() == (HERE, line)
    callback()
    assert found[0][0] == HERE
