"""How a run's owner obeys requests to stand still, and to go on."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.worker.steps import promote_since

if TYPE_CHECKING:
    from django_workflows.worker.owned import OwnedRun


def obey(run: OwnedRun, event: LogEvent, now_us: int) -> bool:
    """Take in one of `PAUSING`. Returns whether the run stands still from now on.

    Ends of steps that only this process knows of are delivered before: what is left
    unread while a run is paused has to be in its inbox.
    """
    if event.type == log.RUN_PAUSED and any(e.row_id is None for e in run.pending):
        own = [e for e in run.pending if e.row_id is None]
        others = [e for e in run.pending if e.row_id is not None]
        run.pending = deque([*own, event, *others])
        return False
    _number(run, event, now_us)
    return run.execution.is_paused and not may_go_on(run, now_us)


def may_begin(run: OwnedRun, now_us: int) -> bool:
    """Before a run begins: no code of it runs if it was paused meanwhile."""
    for event in [e for e in run.pending if e.type in log.PAUSING]:
        run.pending.remove(event)
        _number(run, event, now_us)
    return not run.execution.is_paused or may_go_on(run, now_us)


def may_go_on(run: OwnedRun, now_us: int) -> bool:
    """Whether a paused run has been told to go on; this is then the next entry of its
    log, before all that waited. A request to cancel lets it go on as well."""
    asked = (*log.PAUSING, log.CANCEL_REQUESTED)
    for event in [e for e in run.pending if e.type in asked]:
        if event.type == log.CANCEL_REQUESTED:
            event = LogEvent(log.RUN_RESUMED, detail={"reason": "cancel"})
        else:
            run.pending.remove(event)
        _number(run, event, now_us)
        if not run.execution.is_paused:
            return True
    return False


def stand_still(run: OwnedRun, now_us: int) -> None:
    """Give a paused run up. Its steps in flight go on, decided by their rows."""
    promote_since(run, max(now_us, run.last_us))
    run.release_at(None)


def _number(run: OwnedRun, event: LogEvent, now_us: int) -> None:
    run.deliver(event, now_us)
    run.status = "running" if run.execution.started_us else "pending"
    if run.execution.is_paused:
        run.status = "paused"
    run.to_write().status = run.status
