"""Runs the code of an attempt, as the code of a step should be run."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.utils import OperationalError

from django_workflows.core import context, serialization
from django_workflows.core.payloads import seal
from django_workflows.errors import StepError
from django_workflows.replay.registry import registry
from django_workflows.replay.steps import ClassReference
from django_workflows.store import attempts
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    gave_way,
    to_datetime,
)
from django_workflows.store.rounds import end_attempt
from django_workflows.worker.attempt import Attempt, Ended, completed_event
from django_workflows.worker.stream_output import open_output

#: How often the transaction of an atomic step is tried within an attempt.
TRIES = 5


def run_sync(attempt: Attempt, own: contextvars.Context | None = None) -> Ended:
    """Run a synchronous step on this thread, in a context of its own: an empty one
    unless one is given."""
    # Not by `or`: a context with nothing in it is false.
    around = contextvars.Context() if own is None else own
    return around.run(_run_sync, attempt)


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
    """Run the step in its transaction; again, if that gave way to another one: it has
    left nothing behind, so that it counts as no attempt."""
    for _ in range(TRIES - 1):
        try:
            return _transact(attempt)
        except OperationalError as error:
            is_ours = not connection().in_atomic_block
            if not (is_ours and gave_way(error)) or _has_told(attempt):
                raise
        if attempt.pulse.is_stopped():
            return Ended(attempt, is_void=True)
        context.enter_step(metadata_of(attempt))
    return _transact(attempt)


def _has_told(attempt: Attempt) -> bool:
    """Whether somebody has heard of the attempt already."""
    return attempt.output is not None


def _transact(attempt: Attempt) -> Ended:
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
