"""Logs that grow too long: every replay has to read all of it."""

from __future__ import annotations

import logging

from django_workflows.conf import conf
from django_workflows.errors import HistoryLimitError

logger = logging.getLogger("django_workflows.worker")

_WAY_OUT = (
    "let the workflow go on in a new run with an empty log, by continue_as_new(), "
    "from time to time"
)


def warn_of_growth(run_id: str, workflow: str, events: int) -> None:
    """Say that a run has passed ``WORKFLOWS["HISTORY_WARNING"]``."""
    logger.warning(
        "the log of run %s of %s has %d events; at %d the run will fail: %s",
        run_id,
        workflow,
        events,
        conf.HISTORY_LIMIT,
        _WAY_OUT,
        extra={"action": "history_long", "run_id": run_id, "events": events},
    )


def outgrown(run_id: str, events: int) -> HistoryLimitError:
    """Why a run that has reached ``WORKFLOWS["HISTORY_LIMIT"]`` fails."""
    return HistoryLimitError(
        f"the log of run {run_id} has {events} events, and "
        f"WORKFLOWS['HISTORY_LIMIT'] is {conf.HISTORY_LIMIT}: {_WAY_OUT}"
    )
