"""What a run's owner does for the run's relatives, and at their request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.store.round_types import Family, NewChild

if TYPE_CHECKING:
    from django_workflows.worker.owned import OwnedRun


def note_command(run: OwnedRun, command: LogEvent) -> None:
    """The run's code has started a child, or has asked one to stop."""
    family = _family(run)
    if command.type == log.CHILD_CANCEL_REQUESTED:
        family.cancelled.append(command)
        return
    handle = run.execution.children.open[command.correlation_id]
    family.started.append(NewChild(command, handle.start))


def note_end(run: OwnedRun) -> None:
    """The run ends: say so to whoever has to know. One that continues as new goes on,
    for its parent and for its children."""
    if run.to_write().successor is not None:
        return
    if (
        run.claimed.parent_call
        or run.claimed.is_successor
        or run.execution.children.have_policy
    ):
        _family(run).has_ended = True


def end_on_request(run: OwnedRun, now_us: int) -> bool:
    """A run that has not begun and is to be cancelled ends without any of its code.

    One that continues another is part of what has begun.
    """
    if not run.execution.started_us and not run.claimed.is_successor:
        for event in run.pending:
            if event.type == log.CANCEL_REQUESTED:
                _cancel(run, event, now_us)
                return True
    run.may_end = False
    return False


def _cancel(run: OwnedRun, request: LogEvent, now_us: int) -> None:
    run.pending.remove(request)
    detail = {"reason": request.detail.get("reason", "")}
    # To replay it never came: there is no code that it could have been delivered to.
    request.detail = {**request.detail, "late": True}
    for event in (request, LogEvent(log.RUN_CANCELLED, detail=detail)):
        event.time = run.last_us = max(now_us, run.last_us)
        run.append(event)
    run.end(log.RUN_CANCELLED, run.last_us)


def _family(run: OwnedRun) -> Family:
    write = run.to_write()
    if write.family is None:
        claimed = run.claimed
        write.family = Family(
            claimed.root_id or run.id,
            claimed.deadline_us,
            is_successor=claimed.is_successor,
        )
    return write.family
