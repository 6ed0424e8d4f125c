"""One attempt of a step, and what follows from its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core import failures
from django_workflows.core.durations import Duration, resolve, to_seconds
from django_workflows.core.retry import RetryPolicy
from django_workflows.errors import RetryableError, StepCrashedError
from django_workflows.replay import events as log
from django_workflows.replay.actions import row_name
from django_workflows.replay.events import LogEvent
from django_workflows.replay.options import StepOptions
from django_workflows.replay.steps import Step
from django_workflows.store import attempts
from django_workflows.store.database import to_datetime, to_us
from django_workflows.store.rounds import StepRow
from django_workflows.worker.pulse import Pulse
from django_workflows.worker.stream_output import AttemptOutput

_END_OF_TIME = datetime.max.replace(tzinfo=UTC)

#: Where attempts run: on a thread, on the loop, in a process of their own.
KINDS = ("thread", "async", "process")


def kind_of(step: Step[..., Any], settings: StepOptions, alone: bool) -> str:
    if alone or settings.isolation == "process":
        return "process"
    return "async" if step.is_async else "thread"


@dataclass(slots=True)
class Attempt:
    """An attempt that may run: its start is committed."""

    step: Step[..., Any]
    settings: StepOptions
    run_id: str
    step_id: str
    number: int
    args: bytes
    #: Facts about the run, for get_workflow_metadata().
    workflow: dict[str, Any]
    worker_id: str
    queue: str
    priority: int
    run_queue: str
    created_us: int
    started_us: int
    errors: int = 0
    crashes: int = 0
    #: The Step row decides about this attempt, not the run's fence.
    has_row: bool = False
    #: Run apart from all other steps, in a process of its own.
    alone: bool = False
    #: Given by the executor: lends the attempt's slot while it only waits.
    lend: Callable[[], AbstractContextManager[None]] | None = None
    #: The details that the attempt before it left behind, encoded.
    heartbeat: bytes | None = None
    pulse: Pulse = field(default_factory=Pulse)
    #: Where its code writes to streams, once it does; on its own connection at that.
    output: AttemptOutput | None = None
    writes_directly: bool = False
    #: Where it runs, one of `KINDS`.
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        self.kind = kind_of(self.step, self.settings, self.alone)

    @property
    def title(self) -> str:
        """What people are told that its step is."""
        return self.settings.title or self.step.name

    def row(self, status: str, finished_us: int | None = None) -> StepRow:
        """The Step row of this attempt, with this status."""
        return StepRow(
            id=self.step_id,
            run_id=self.run_id,
            name=row_name(self.step.name, self.settings.action),
            status=status,
            queue=self.queue,
            priority=self.priority,
            attempt=self.number,
            errors=self.errors,
            crashes=self.crashes,
            suspect=False,
            worker=self.worker_id,
            due_us=None,
            created_us=self.created_us,
            started_us=self.started_us,
            finished_us=finished_us,
            # Only a row whose attempts others may take needs the call itself.
            args=self.args if status in ("running", "pending") else None,
            options=dump_options(self.settings)
            if status in ("running", "pending")
            else "",
            heartbeat=(self.pulse.details or self.heartbeat)
            if status in ("running", "pending")
            else None,
        )


@dataclass(slots=True)
class Ended:
    """How an attempt ended: with a result, an error, or the death of its process.

    `is_recorded`: the attempt has written its end itself, together with its effects.
    `is_void`: it had been ended by somebody else, and its effects are rolled back.
    `timed_out`: in which way it took too long; its code may still be running.
    """

    attempt: Attempt
    result: bytes | None = None
    error: BaseException | None = None
    crashed: bool = False
    is_recorded: bool = False
    is_void: bool = False
    timed_out: str = ""
    seconds: float = 0.0


# -- what the end of an attempt means --------------------------------------------------


def completed_event(attempt: Attempt, result: bytes | None) -> LogEvent:
    return LogEvent(
        log.STEP_COMPLETED,
        attempt.step_id,
        detail={} if attempt.number == 1 else {"attempt": attempt.number},
        payload=result,
    )


@dataclass(slots=True)
class Verdict:
    """What follows from the end of an attempt."""

    events: list[LogEvent]
    #: completed, failed, or pending: another attempt follows at `retry_us`.
    status: str
    errors: int
    crashes: int
    retry_us: int = 0
    suspect: bool = False


def judge(ended: Ended, now_us: int, max_crashes: int, random: Any) -> Verdict:
    """Decide by the step's retry policy what follows from the end of an attempt."""
    attempt = ended.attempt
    if ended.crashed:
        return _judge_crash(attempt, now_us, max_crashes)
    if ended.error is None:
        return Verdict(
            [completed_event(attempt, ended.result)],
            "completed",
            attempt.errors,
            attempt.crashes,
        )
    errors = attempt.errors + 1
    policy = attempt.settings.retry
    detail: dict[str, Any] = {"attempt": attempt.number}
    payload = failures.capture(ended.error)
    kind, told = log.STEP_RETRYING, {**detail, "reason": "error"}
    if ended.timed_out:
        detail["kind"] = ended.timed_out
        kind, told = log.STEP_TIMED_OUT, {**detail}
    if not policy.is_retryable(ended.error) or not policy.allows(errors):
        events = []
        if ended.timed_out:
            events.append(LogEvent(kind, attempt.step_id, detail=told, payload=payload))
        events.append(
            LogEvent(log.STEP_FAILED, attempt.step_id, detail=detail, payload=payload)
        )
        return Verdict(events, "failed", errors, attempt.crashes)
    retry_us = _retry_at(ended.error, policy, errors, now_us, random)
    told["retry_at"] = retry_us
    event = LogEvent(kind, attempt.step_id, detail=told, payload=payload)
    return Verdict([event], "pending", errors, attempt.crashes, retry_us)


def _judge_crash(attempt: Attempt, now_us: int, max_crashes: int) -> Verdict:
    crashes = attempt.crashes + 1
    detail: dict[str, Any] = {"attempt": attempt.number}
    if crashes >= max_crashes:
        error = StepCrashedError(
            f"step {attempt.title} has killed the process that ran it {crashes} "
            "times, each time while it was alone in it "
            "(see WORKFLOWS['MAX_STEP_CRASHES'])"
        )
        event = LogEvent(
            log.STEP_FAILED,
            attempt.step_id,
            detail=detail,
            payload=failures.capture(error),
        )
        return Verdict([event], "failed", attempt.errors, crashes)
    detail |= {"reason": "crash", "alone": True, "retry_at": now_us}
    event = LogEvent(log.STEP_RETRYING, attempt.step_id, detail=detail)
    return Verdict([event], "pending", attempt.errors, crashes, now_us, suspect=True)


def _retry_at(
    error: BaseException, policy: RetryPolicy, errors: int, now_us: int, random: Any
) -> int:
    after: Duration | datetime = policy.delay(errors, random)
    if isinstance(error, RetryableError) and error.retry_after is not None:
        after = error.retry_after
    try:
        due = to_us(resolve(after, to_datetime(now_us)))
    except ValueError:
        due = to_us(_END_OF_TIME)  # later than any calendar goes
    return max(now_us, due)


def row_after(attempt: Attempt, verdict: Verdict, now_us: int) -> StepRow:
    """The Step row once the attempt has ended so."""
    is_pending = verdict.status == "pending"
    row = attempt.row(verdict.status, None if is_pending else now_us)
    row.errors = min(verdict.errors, attempts.LAST)
    row.crashes = min(verdict.crashes, attempts.LAST)
    if is_pending:
        row.due_us, row.worker = verdict.retry_us, ""
        row.suspect = verdict.suspect
    return row


def report_ends(
    database: BaseDatabaseWrapper,
    verdicts: Sequence[tuple[Attempt, Verdict]],
    now_us: int,
) -> None:
    """End attempts that have a row, and tell their runs; not those ended before."""
    attempts.report_ends(
        database,
        [
            attempts.AttemptEnd(
                row_after(attempt, verdict, now_us), verdict.events, attempt.run_queue
            )
            for attempt, verdict in verdicts
        ],
    )


# -- options of a call, for a worker that did not make it ------------------------------


def dump_options(settings: StepOptions, limits: Mapping[str, Any] | None = None) -> str:
    """The options as text; `limits` are those that are not the definition's."""
    values = asdict(settings)
    if limits:
        values["limits"] = dict(limits)
    for name in ("title", "action"):
        if not values[name]:
            del values[name]
    retry = values["retry"]
    for name in ("initial_interval", "maximum_interval"):
        if retry["maximum_attempts"] == 1:
            del retry[name]  # there is nothing to wait for, and they may be nonsense
        elif retry[name] is not None:
            retry[name] = to_seconds(retry[name])
    retry["non_retryable_errors"] = [
        error if isinstance(error, str) else f"{error.__module__}.{error.__qualname__}"
        for error in settings.retry.non_retryable_errors
    ]
    return json.dumps(values)


def load_options(text: str) -> StepOptions:
    values = json.loads(text)
    values.pop("limits", None)
    retry = values.pop("retry")
    retry["non_retryable_errors"] = tuple(retry["non_retryable_errors"])
    return StepOptions(retry=RetryPolicy(**retry), **values)
