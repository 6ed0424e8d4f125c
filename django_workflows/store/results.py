"""Waits for the end of runs."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async

from django_workflows.core import context, failures, serialization
from django_workflows.core.durations import Duration, to_seconds
from django_workflows.core.payloads import unseal
from django_workflows.core.serialization.exceptions import safe_message
from django_workflows.errors import (
    WorkflowRunCancelledError,
    WorkflowRunFailedError,
    WorkflowRunNotFoundError,
    WorkflowRunTerminatedError,
    WorkflowRunTimedOutError,
)
from django_workflows.models import Run
from django_workflows.store.chains import current_run_id
from django_workflows.store.database import connection
from django_workflows.store.notify import DONE
from django_workflows.store.watching import LOOK_AGAIN, watching


def wait_for_result(run: Run, timeout: Duration | None = None) -> Any:
    """Wait for a run's end; see ``Run.result``."""
    wait = _Wait(run, timeout)
    outcome = wait.look()
    if outcome is None:
        _refuse_in_transaction(run)
        step = context.current_step()
        lent = nullcontext() if step is None else step.waiting()
        with lent, watching((DONE, None)) as watch:
            while (outcome := wait.look()) is None:
                watch.wait(wait.longest())
    return _unpack(outcome)


async def await_result(run: Run, timeout: Duration | None = None) -> Any:
    """The same without holding a thread while nothing happens."""
    wait = _Wait(run, timeout)
    look = sync_to_async(wait.look)
    outcome = await look()
    if outcome is None:
        await sync_to_async(_refuse_in_transaction)(run)
        with watching((DONE, None)) as watch:
            while (outcome := await look()) is None:
                await watch.async_wait(wait.longest())
    return _unpack(outcome)


@dataclass(frozen=True, slots=True)
class _End:
    """How the last run of a chain has ended, with the payload of its last event."""

    run_id: str
    workflow: str
    status: str
    payload: bytes | None


class _Wait:
    """What is waited for, and how long. Raises ValueError for what is no duration."""

    def __init__(self, run: Run, timeout: Duration | None) -> None:
        self._run = run
        #: The last run of the chain, as far as it is known.
        self._run_id = run.pk
        self._status: str = run.status
        self._end = None if timeout is None else time.monotonic() + to_seconds(timeout)

    def look(self) -> _End | None:
        """The end if it has come. Raises WorkflowRunNotFoundError."""
        while True:
            status, payload = _read_end(self._run_id)
            self._status = status
            if self._run_id == self._run.pk:
                self._run.status = status
            if status in Run.OPEN:
                return None
            if status != Run.Status.CONTINUED_AS_NEW:
                return _End(self._run_id, self._run.workflow, status, payload)
            following = current_run_id(self._run_id)
            if following == self._run_id:
                raise WorkflowRunNotFoundError(
                    f"run {self._run_id} has continued as a run that is gone",
                    run_id=self._run_id,
                )
            self._run_id = following

    def longest(self) -> float:
        """Seconds until the next look. Raises TimeoutError after the last one."""
        if self._end is None:
            return LOOK_AGAIN
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"run {self._run_id} is still {self._status}")
        return min(left, LOOK_AGAIN)


def _refuse_in_transaction(run: Run) -> None:
    if connection().in_atomic_block:
        raise RuntimeError(
            f"result() of the open run {run.pk} inside transaction.atomic(): its end "
            "would not be seen, and with an uncommitted start() never come. Call it "
            "after the block; in tests use django_workflows.testing."
        )


def _read_end(run_id: str) -> tuple[str, bytes | None]:
    """A run's status and, if it has ended, the payload of its last event."""
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT r.status, e.payload FROM django_workflows_run r "
            "LEFT JOIN django_workflows_event e ON e.run_id = r.id "
            "AND e.seq = r.last_seq AND r.finished_at IS NOT NULL WHERE r.id = %s",
            (run_id,),
        )
        row = cursor.fetchone()
    if row is None:
        raise WorkflowRunNotFoundError(f"there is no workflow run {run_id!r}")
    return row[0], None if row[1] is None else unseal(bytes(row[1]))


def _unpack(end: _End) -> Any:
    run_id, workflow, payload = end.run_id, end.workflow, end.payload
    status = Run.Status(end.status)
    if status == Run.Status.COMPLETED:
        return None if payload is None else serialization.loads(payload)
    if status == Run.Status.FAILED:
        cause = failures.rebuild(payload or b"")
        said = safe_message(cause)
        raise WorkflowRunFailedError(
            f"run {run_id} of {workflow} failed: {type(cause).__name__}: {said}",
            run_id=run_id,
            cause=cause,
        ) from cause
    error = {
        Run.Status.CANCELLED: WorkflowRunCancelledError,
        Run.Status.TERMINATED: WorkflowRunTerminatedError,
    }.get(status, WorkflowRunTimedOutError)
    raise error(f"run {run_id} of {workflow} is {status}", run_id=run_id)
