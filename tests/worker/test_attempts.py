"""Attempts in a worker's hands: deadlines, heartbeats, slots that are given up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from django_workflows import (
    RetryableError,
    RetryPolicy,
    StepCancelledError,
    get_step_metadata,
    step,
)
from django_workflows.core import serialization
from django_workflows.replay.options import StepOptions
from django_workflows.worker import heartbeats, pulse
from django_workflows.worker.attempt import (
    Attempt,
    Ended,
    dump_options,
    judge,
    load_options,
)
from django_workflows.worker.deadlines import Deadlines, next_deadline
from django_workflows.worker.executor import Executor
from django_workflows.worker.heartbeats import Heartbeats
from django_workflows.worker.isolation import dump_ended, load_ended
from tests.clocks import HandClock, clock_by_hand
from tests.cluster.harness import DEADLINE, until

gate = threading.Event()
seen: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    gate.clear()
    seen.clear()
    yield
    gate.set()


@step(name="attempts.waits")
def waits() -> str:
    assert gate.wait(DEADLINE)
    return "in the end"


@step(name="attempts.waits_on_loop")
async def waits_on_loop() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
    return "in the end"


@step(name="attempts.beats")
def beats(count: int) -> None:
    """The last time when the gate is open."""
    metadata = get_step_metadata()
    for number in range(1, count):
        metadata.heartbeat(number)
    if count:
        seen.append("all but one")
        assert gate.wait(DEADLINE)
        metadata.heartbeat(count)


@step(name="attempts.listens")
def listens() -> None:
    for _ in range(10_000):
        try:
            get_step_metadata().heartbeat()
        except StepCancelledError as error:
            seen.append(str(error))
            raise
        time.sleep(0.01)


def attempt_of(target: Any, *args: Any, number: int = 1, **options: Any) -> Attempt:
    """An attempt of a step of its own, as a worker makes it."""
    return Attempt(
        step=target,
        settings=StepOptions().replaced(options),
        run_id="wrun_test",
        step_id=f"step_{target.name}_{len(seen)}_{time.monotonic_ns()}",
        number=number,
        args=serialization.dumps_call(args, {}),
        workflow={},
        worker_id="wrkr_test",
        queue="default",
        priority=0,
        run_queue="default",
        created_us=0,
        started_us=0,
    )


class Ends:
    """What the executor reports."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Ended] = SimpleQueue()

    def __call__(self, ended: Ended, done: Callable[[], None]) -> None:
        done()
        self.queue.put(ended)

    def next(self, timeout: float = DEADLINE) -> Ended:
        return self.queue.get(timeout=timeout)

    def none_within(self, seconds: float) -> bool:
        try:
            self.queue.get(timeout=seconds)
        except Empty:
            return True
        return False


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def executor(ends: Ends) -> Iterator[Executor]:
    made = Executor(2, 10, ends)
    yield made
    gate.set()
    made.close()


def test_a_thread_that_takes_too_long_is_given_up(
    executor: Executor, ends: Ends
) -> None:
    attempt = attempt_of(waits, timeout=0.05)
    executor.submit([attempt])
    ended = ends.next()
    assert (ended.attempt, ended.timed_out) == (attempt, "start_to_close")
    assert executor.in_flight() == []
    assert executor.threads_given_up == 1
    gate.set()
    until(lambda: executor.threads_given_up == 0, "the end of the thread")
    assert ends.none_within(0.1), "a late end is dropped"


def test_given_up_threads_are_no_slots(executor: Executor, ends: Ends) -> None:
    before = executor.room("thread")
    hung = [attempt_of(waits, timeout=0.05) for _ in range(2)]
    executor.submit(hung)
    assert executor.room("thread") == before - 2
    for _ in hung:
        assert ends.next().timed_out
    assert executor.room("thread") == before
    quick = attempt_of(beats, 0)
    executor.submit([quick])
    assert ends.next().attempt is quick
    gate.set()
    until(lambda: executor.threads_given_up == 0, "the end of the threads")
    assert executor._used["thread"] == 0


def test_a_thread_that_ends_as_it_times_out_is_not_given_up(
    executor: Executor, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is over, and it comes to its end before it could be told."""
    stop = executor.stop

    def after_its_end(attempt: Attempt, why: str) -> None:
        gate.set()
        until(lambda: attempt.pulse.is_through, "the end of its code")
        stop(attempt, why)

    monkeypatch.setattr(executor, "stop", after_its_end)
    executor.submit([attempt_of(waits, timeout=0.05)])
    assert ends.next().timed_out == "start_to_close"
    assert executor.threads_given_up == 0
    assert executor.in_flight() == []
    assert executor._used["thread"] == 0


def test_a_cancelled_thread_is_no_slot_either(executor: Executor, ends: Ends) -> None:
    before = executor.room("thread")
    attempt = attempt_of(waits)
    executor.submit([attempt])
    until(lambda: attempt.pulse.began_at, "its beginning")
    executor.cancel(attempt.step_id)
    assert executor.threads_given_up == 1
    assert executor.room("thread") == before
    gate.set()
    assert ends.next().attempt is attempt  # which nobody is interested in
    until(lambda: executor.threads_given_up == 0, "the end of the thread")


def test_a_step_cancelled_before_it_begins_does_not_begin(
    executor: Executor, ends: Ends
) -> None:
    hung = [attempt_of(waits) for _ in range(2)]
    executor.submit(hung)
    late = attempt_of(listens)
    executor.submit([late])
    executor.cancel(late.step_id)
    gate.set()
    found = {id(e.attempt): e for e in (ends.next(), ends.next(), ends.next())}
    assert found[id(late)].is_void
    assert seen == []
    assert executor.in_flight() == []


def test_asynchronous_code_is_cancelled_at_its_time_out(
    executor: Executor, ends: Ends
) -> None:
    executor.submit([attempt_of(waits_on_loop, timeout=0.05)])
    assert ends.next().timed_out == "start_to_close"
    until(lambda: seen == ["cancelled"], "its cancellation")
    assert ends.none_within(0.1)


def test_an_asynchronous_step_cancelled_at_once_is_reported(
    executor: Executor, ends: Ends
) -> None:
    attempt = attempt_of(waits_on_loop)
    executor.submit([attempt])
    executor.cancel(attempt.step_id)
    assert ends.next().attempt is attempt
    assert executor.in_flight() == []


def test_a_cancelled_thread_learns_it_from_its_heartbeat(
    executor: Executor, ends: Ends
) -> None:
    attempt = attempt_of(listens)
    executor.submit([attempt])
    until(lambda: attempt.pulse.began_at, "its beginning")
    executor.cancel(attempt.step_id)
    ends.next()
    assert seen == ["the step was cancelled"]


def test_a_timed_out_thread_learns_it_from_its_heartbeat(
    executor: Executor, ends: Ends
) -> None:
    executor.submit([attempt_of(listens, timeout=0.1)])
    assert ends.next().timed_out
    until(lambda: seen, "the news")
    assert "took longer than 0.1 s" in seen[0]


def test_attempts_are_timed_out_in_the_order_of_their_deadlines() -> None:
    """Whatever order they began in; and none too early."""
    late: SimpleQueue[tuple[float, float]] = SimpleQueue()
    deadlines = Deadlines(
        lambda attempt, kind: late.put((next_deadline(attempt)[0], time.monotonic()))
    )
    with deadlines._changed:  # what watches looks at them when all are there
        for bound in (0.4, 0.1, 0.3, 0.2):
            attempt = attempt_of(waits_on_loop, timeout=bound)
            attempt.pulse.began_at = time.monotonic()
            deadlines.watch(attempt)
    try:
        found = [late.get(timeout=DEADLINE) for _ in range(4)]
    finally:
        deadlines.close()
    assert found == sorted(found)
    assert all(due <= at for due, at in found)


def test_attempts_that_end_in_time_leave_nothing_to_watch(
    executor: Executor, ends: Ends
) -> None:
    """A thousand beside four that are late."""
    bounds = [0.4, 0.1, 0.3, 0.2]
    executor.submit([attempt_of(waits_on_loop, timeout=bound) for bound in bounds])
    for _ in range(1500):
        executor.submit([attempt_of(beats, 0, timeout=300)])
    found = [ends.next() for _ in range(1500 + len(bounds))]
    late = {e.attempt.settings.timeout for e in found if e.timed_out}
    assert late == {*bounds}
    assert len(executor._deadlines._heap) < 1500
    until(lambda: seen.count("cancelled") >= len(bounds), "what is left of them")


# -- heartbeats -----------------------------------------------------------------------


class Rows:
    """Stands in for the rows of steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[Any] = []
        monkeypatch.setattr(heartbeats, "private_connection", lambda: self)
        monkeypatch.setattr(heartbeats, "write_heartbeat", self.write)

    def write(self, database: Any, step_id: str, number: int, details: bytes) -> bool:
        self.written.append(serialization.loads(details))
        return True

    def close(self) -> None:
        pass


@pytest.fixture
def writing_clock() -> Iterator[HandClock]:
    """By which heartbeats are written now and then."""
    with clock_by_hand(heartbeats) as clock:
        yield clock


def test_heartbeats_are_throttled_and_the_last_one_is_kept(
    ends: Ends, writing_clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "FIRST_WRITE", DEADLINE)
    rows = Rows(monkeypatch)
    executor = Executor(2, 10, ends, lambda attempt: writer.tell(attempt))
    writer = Heartbeats("wrkr_test", executor, lambda attempt: None)
    attempt = attempt_of(beats, 500)
    attempt.has_row = True
    executor.submit([attempt])
    until(lambda: "all but one" in seen, "nearly all heartbeats")
    assert rows.written == [1], "which is stored before the step goes on"
    writing_clock.advance(heartbeats.WRITE_INTERVAL)
    until(lambda: len(rows.written) > 1, "the next write")
    gate.set()
    assert ends.next().error is None
    assert rows.written == [1, 499]
    assert serialization.loads(attempt.row("pending").heartbeat or b"") == 500
    executor.close()
    writer.close()


def test_the_last_details_are_written_although_none_follow(
    ends: Ends, writing_clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(monkeypatch)
    executor = Executor(2, 10, ends, lambda attempt: writer.tell(attempt))
    writer = Heartbeats("wrkr_test", executor, lambda attempt: None)
    attempt = attempt_of(waits)
    attempt.has_row = True
    executor.submit([attempt])
    for number in range(5):
        attempt.pulse.hear(serialization.dumps(number))
    until(lambda: rows.written, "the first write")
    writing_clock.advance(heartbeats.WRITE_INTERVAL)
    until(lambda: rows.written[-1:] == [4], "the last one")
    assert len(rows.written) <= 2
    gate.set()
    executor.close()
    writer.close()


def test_what_was_said_last_is_written_before_an_attempt_is_cut_off(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(monkeypatch)
    executor = Executor(2, 10, ends)
    said, silent = attempt_of(waits), attempt_of(waits)
    said.has_row = silent.has_row = True
    said.pulse.hear(serialization.dumps("last words"))
    writer = Heartbeats("wrkr_test", executor, lambda attempt: None)
    database: Any = None
    writer.flush(database, [said, silent])
    assert rows.written == ["last words"]
    executor.close()


def test_an_attempt_without_a_row_is_shown_first(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(monkeypatch)
    shown: list[Attempt] = []
    executor = Executor(2, 10, ends, lambda attempt: writer.tell(attempt))
    writer = Heartbeats("wrkr_test", executor, shown.append)
    attempt = attempt_of(waits)
    executor.submit([attempt])
    attempt.pulse.hear(serialization.dumps("details"))
    until(lambda: shown == [attempt], "the request for a row")
    assert rows.written == []
    attempt.has_row = True
    until(lambda: rows.written == ["details"], "the write")
    gate.set()
    executor.close()
    writer.close()


# -- what travels to other processes --------------------------------------------------


def test_an_error_from_a_process_of_its_own_is_judged_as_any() -> None:
    attempt = attempt_of(waits, number=1, max_retries=2)
    error = RetryableError("busy", retry_after="90s")
    there = load_ended(attempt, dump_ended(Ended(attempt, error=error)))
    verdict = judge(there, 1_000_000, 3, None)
    assert verdict.status == "pending"
    assert verdict.retry_us == 91_000_000


def test_options_travel_as_text() -> None:
    policy = RetryPolicy(
        initial_interval="500ms",
        backoff_coefficient=3,
        maximum_interval="1m",
        maximum_attempts=10,
        non_retryable_errors=(KeyError, "Other"),
        jitter=0.25,
    )
    options = StepOptions().replaced({"retry": policy, "timeout": "30s"})
    found = load_options(dump_options(options))
    assert found.timeout == 30
    assert found.retry.non_retryable_errors == ("builtins.KeyError", "Other")
    assert found.retry.initial_interval == 0.5
    assert (found.retry.backoff_coefficient, found.retry.jitter) == (3, 0.25)
    assert found.retry.maximum_interval == 60
    assert found.retry.maximum_attempts == 10


def test_options_of_a_single_attempt_travel_whatever_its_waits_are() -> None:
    policy = RetryPolicy(initial_interval=-1, maximum_attempts=1)
    found = load_options(dump_options(StepOptions().replaced({"retry": policy})))
    assert found.retry.maximum_attempts == 1
