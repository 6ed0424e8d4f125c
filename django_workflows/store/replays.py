"""Stored runs as replay takes them: what a run knows about itself, and its log."""

from __future__ import annotations

from django_workflows.conf import conf
from django_workflows.models import Run
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import RunInfo
from django_workflows.store.database import connection
from django_workflows.store.history import read_logs, to_log_event
from django_workflows.store.run_claims import ClaimedRun


def run_info(run: Run | ClaimedRun) -> RunInfo:
    """What a run's code may ask about the run, as of its start."""
    return RunInfo(
        run_id=run.id,
        workflow_name=run.workflow,
        version=run.version,
        key=run.key,
        queue=run.queue,
        priority=run.priority,
        attributes=run.attributes,
        seed=bytes(run.seed),
        base_url=conf.BASE_URL.rstrip("/"),
    )


def stored_log(run: Run) -> list[LogEvent]:
    """The numbered events of a run, in order."""
    rows = read_logs(connection(), [run.pk])[run.pk]
    return [to_log_event(row) for row in rows if row[1] is not None]
