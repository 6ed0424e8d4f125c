"""One attempt of a step: its code, run as it should be run."""

from __future__ import annotations

import asyncio
import contextvars
import json
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core import context, failures, serialization
from django_workflows.core.durations import Duration, resolve, to_seconds
from django_workflows.core.payloads import seal
from django_workflows.core.retry import RetryPolicy
from django_workflows.errors import RetryableError, StepCrashedError, StepError
from django_workflows.replay import events as log
from django_workflows.replay.definitions import ClassReference, Step, registry
from django_workflows.replay.events import LogEvent
from django_workflows.replay.options import StepOptions
from django_workflows.store import attempts
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    to_datetime,
    to_us,
)
from django_workflows.store.rounds import StepRow, end_attempt
from django_workflows.worker.pulse import Pulse
from django_workflows.worker.stream_output import AttemptOutput, open_output

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

    @property
    def kind(self) -> str:
        return kind_of(self.step, self.settings, self.alone)

    @property
    def is_bounded(self) -> bool:
        """Whether it may take too long."""
        settings = self.settings
        return settings.timeout is not None or settings.heartbeat_timeout is not None

    def row(self, status: str, finished_us: int | None = None) -> StepRow:
        """The Step row of this attempt, with this status."""
        return StepRow(
            id=self.step_id,
            run_id=self.run_id,
            name=self.step.name,
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


def run_sync(attempt: Attempt) -> Ended:
    """Run a synchronous step on this thread, in a context of its own."""
    return contextvars.Context().run(_run_sync, attempt)


def _run_sync(attempt: Attempt) -> Ended:
    try:
        context.enter_step(metadata_of(attempt))
        if attempt.settings.atomic:
            return _run_atomic(attempt)
        result = _call(attempt)()
        if attempt.output is not None:
            attempt.output.finish()
        return Ended(attempt, _dump_result(result))
    except BaseException as error:
        if attempt.output is not None:
            with _beside(error):
                attempt.output.finish()
        return Ended(attempt, error=_as_raised(error))


@contextmanager
def _beside(error: BaseException) -> Iterator[None]:
    """What goes wrong here is told by the error that there is already."""
    try:
        yield
    except Exception as another:
        if another is not error:
            error.add_note(f"and then: {type(another).__name__}: {another}")


def _run_atomic(attempt: Attempt) -> Ended:
    """The step's writes, its end and the word to its run: one transaction.

    The arbiter's update and the inbox row are the last statements before COMMIT, and
    no run is touched, so that the owner's rounds never wait for the step's body.
    """
    with transaction.atomic(using=alias()):
        result = _dump_result(_call(attempt)())
        if attempt.output is not None:
            attempt.output.finish()
        if attempt.pulse.is_stopped():
            transaction.set_rollback(True, using=alias())
            return Ended(attempt, is_void=True)
        database = connection()
        row = attempt.row("completed", database_time(database))
        with database.cursor() as cursor:
            if not end_attempt(database, cursor, row):
                transaction.set_rollback(True, using=alias())
                return Ended(attempt, is_void=True)
        event = completed_event(attempt, result)
        attempts.tell(database, row, [event], {attempt.run_queue})
    return Ended(attempt, result, is_recorded=True)


async def run_async(attempt: Attempt) -> Ended:
    """Run an asynchronous step; the calling task is its context."""
    try:
        context.enter_step(metadata_of(attempt))
        result = await _call(attempt)()
        if attempt.output is not None:
            await attempt.output.afinish()
        return Ended(attempt, _dump_result(result))
    except BaseException as error:
        if attempt.output is not None:
            with _beside(error):
                await attempt.output.afinish()
        return Ended(attempt, error=_as_raised(error))


def _as_raised(error: BaseException) -> BaseException:
    """What the workflow's await is to raise for what a step has raised.

    Some exceptions mean something else there. Nothing but a StopIteration is the end
    of an iterator (PEP 479), and a cancellation that nobody asked for would vanish:
    asyncio takes the waiting task for cancelled.
    """
    if isinstance(error, StopIteration):
        raised: BaseException = RuntimeError("the step raised StopIteration")
    elif isinstance(error, asyncio.CancelledError | GeneratorExit):
        name = type(error).__name__
        raised = StepError(
            f"the step raised {name}: {error}".rstrip(": "),
            type_name=f"{type(error).__module__}.{type(error).__qualname__}",
            traceback="".join(traceback.format_exception(error)),
        )
    else:
        return error
    raised.__cause__ = error
    return raised


def _dump_result(result: Any) -> bytes:
    """A result, encoded. What cannot be stored is the step's error, not its run's."""
    data = serialization.dumps(result, root="result")
    seal(data)
    return data


def _call(attempt: Attempt) -> Callable[[], Any]:
    args, kwargs = serialization.loads_call(attempt.args, fetch_models=True)
    if args and isinstance(args[0], ClassReference):
        # By the step as it is registered: a test may have put a mock in its place.
        step = registry.find_step(attempt.step.name) or attempt.step
        args = (args[0].resolve(step), *args[1:])
    return lambda: attempt.step.func(*args, **kwargs)


def metadata_of(attempt: Attempt) -> context.StepMetadata:
    details = attempt.heartbeat
    return context.StepMetadata(
        step_id=attempt.step_id,
        step_name=attempt.step.name,
        attempt=attempt.number,
        started_at=to_datetime(attempt.started_us),
        run_id=attempt.run_id,
        deadline=_deadline(attempt),
        heartbeat_details=None
        if details is None
        else serialization.loads(details, fetch_models=True),
        workflow=attempt.workflow,
        _beat=attempt.pulse.beat,
        _lend=attempt.lend,
        _open_output=lambda: open_output(attempt),
        is_atomic=attempt.settings.atomic,
    )


def _deadline(attempt: Attempt) -> datetime | None:
    """When the attempt, or the step as a whole, will have taken too long."""
    settings = attempt.settings
    ends = []
    if settings.timeout is not None:
        ends.append(attempt.started_us + round(settings.timeout * 1_000_000))
    if settings.schedule_to_close_timeout is not None:
        longest_us = round(settings.schedule_to_close_timeout * 1_000_000)
        ends.append(attempt.created_us + longest_us)
    return to_datetime(min(ends)) if ends else None


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
            f"step {attempt.step.name} has killed the process that ran it {crashes} "
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
    row.errors, row.crashes = verdict.errors, verdict.crashes
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
