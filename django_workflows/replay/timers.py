"""The timers of a run: sleeps, and each ``call_at`` of its loop."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.replay.loop import DurableTimer
from django_workflows.replay.operations import Operation

if TYPE_CHECKING:
    from django_workflows.replay.execution import Execution

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


class SleepCall(Operation):
    """``sleep()``: a durable timer that is awaited itself."""

    def cancel_requested(self) -> None:
        self.execution.timers.cancel(self.id)


class Timer:
    """An open timer of a run: a sleep, or a ``call_at`` of the loop."""

    __slots__ = ("delay_us", "due_us", "id", "kind", "number", "target")

    def __init__(
        self,
        timer_id: str,
        due_us: int,
        number: int,
        kind: str,
        target: SleepCall | DurableTimer,
        delay_us: int,
    ) -> None:
        self.id = timer_id
        self.delay_us = delay_us
        self.due_us = due_us
        self.number = number
        self.kind = kind
        self.target = target


class Timers:
    """The open timers of one run, by id."""

    def __init__(self, execution: Execution) -> None:
        self.open: dict[str, Timer] = {}
        self._execution = execution
        self._heap: list[tuple[int, int, str]] = []

    def create(self, target: DurableTimer, kind: str) -> None:
        if self._execution.is_over:
            return  # clean-up code waits in vain, and is closed again
        when = target.when()
        delay = when - self._execution.loop.time()
        due_us = self._execution.loop.now_us + max(1, round(delay * 1_000_000))
        while due_us / 1_000_000 < when:
            due_us += 1
        if due_us <= _LAST_US:
            target.timer_id = self._create_wait(
                kind, _named(kind, delay), due_us, target
            )

    def sleep(self, delay: float | datetime) -> SleepCall:
        """Issue a sleep, in seconds or until a point in time."""
        self._execution.require_task("sleep()")
        if isinstance(delay, datetime):
            due_us = (delay - _EPOCH) // _MICROSECOND
            name = f"sleep:{delay.astimezone(UTC).isoformat()}"
        else:
            due_us = self._execution.loop.now_us + round(delay * 1_000_000)
            name = _named("sleep", delay)
        if due_us > _LAST_US:
            raise ValueError("cannot sleep until after the year 9999")
        sleep = SleepCall(self._execution, "")
        if due_us <= self._execution.loop.now_us:
            sleep.succeed(None)
        else:
            sleep.id = self._create_wait("sleep", name, due_us, sleep)
        return sleep

    def _create_wait(
        self, kind: str, name: str, due_us: int, target: SleepCall | DurableTimer
    ) -> str:
        event = self._execution.issue(
            LogEvent(
                log.WAIT_CREATED,
                self._execution.next_id("wait", name),
                detail={"name": name, "kind": kind, "due": due_us},
            )
        )
        timer = Timer(
            event.correlation_id,
            event.detail["due"],
            self._execution.loop.next_number(),
            kind,
            target,
            event.detail["due"] - self._execution.loop.now_us,
        )
        self.open[timer.id] = timer
        heapq.heappush(self._heap, (timer.due_us, timer.number, timer.id))
        return timer.id

    def cancel(self, timer_id: str) -> None:
        execution = self._execution
        if not execution.is_over and self.open.pop(timer_id, None) is not None:
            execution.issue(LogEvent(log.WAIT_CANCELLED, timer_id))

    def first(self) -> Timer | None:
        """The open timer that is due first, in the order of due time and creation."""
        heap = self._heap
        while heap:
            timer = self.open.get(heap[0][2])
            if timer is not None:
                return timer
            heapq.heappop(heap)
        return None

    def fire(self, timer_id: str) -> bool:
        """Let what waits for a timer go on. False if it is not open."""
        timer = self.open.pop(timer_id, None)
        if timer is None:
            return False
        if isinstance(timer.target, DurableTimer):
            self._execution.loop._ready.append(timer.target)
        else:
            timer.target.succeed(None)
        return True

    def wake(self) -> None:
        """End every sleep now, in the order of their creation."""
        for timer in sorted(self.open.values(), key=lambda t: t.number):
            if timer.kind == "sleep":
                self.fire(timer.id)

    def go_on_from(self, cut_us: int, time_us: int) -> None:
        """Time-outs stood still between these; sleeps did not."""
        for timer in self.open.values():
            if timer.kind == "timer":
                left_us = timer.due_us - cut_us
                timer.due_us = time_us + (left_us if left_us > 0 else timer.delay_us)
        self._heap = [(t.due_us, t.number, t.id) for t in self.open.values()]
        heapq.heapify(self._heap)


def _named(kind: str, delay: float) -> str:
    """A timer is named by its delay. The noise of adding it to the time and taking
    that away again must not be part of the name."""
    return f"{kind}:{round(delay, 4):.12g}"
