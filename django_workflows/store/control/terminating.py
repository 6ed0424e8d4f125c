"""Ending a run at once."""

from __future__ import annotations

from django.db import transaction

from django_workflows.core.authorship import author
from django_workflows.core.context import current_step
from django_workflows.errors import InvalidRunStateError
from django_workflows.models import Run
from django_workflows.replay.events import RUN_TERMINATED
from django_workflows.store.control.ending import end_run
from django_workflows.store.control.rows import lock_run, not_found, require_open
from django_workflows.store.database import alias, connection, despite_deadlocks


def terminate(run: Run, reason: str = "") -> None:
    """End a run at once; see ``Run.terminate``."""
    step = current_step()
    if step is not None and step.is_atomic and step.run_id == run.pk:
        # The step could not end then, and take what it did, this included, back.
        raise InvalidRunStateError(
            f"the atomic step {step.step_name} cannot terminate its own run; raise "
            "FatalError, or terminate it in a step that is not atomic",
            run_id=run.pk,
        )
    database = connection()

    def end() -> None:
        with transaction.atomic(using=alias()):
            row = lock_run(database, run.pk, "status, last_seq")
            if row is None:
                raise not_found(run.pk)
            status, last_seq = row
            require_open(run.pk, status, "terminated")
            detail = {"reason": reason, **author()}
            end_run(database, run.pk, last_seq, RUN_TERMINATED, detail)

    despite_deadlocks(database, end)
    run.refresh_from_db(using=alias())
