"""Which runs have failed, of those that have ended by themselves."""

from __future__ import annotations

from django_workflows.admin.addresses import runs_url
from django_workflows.admin.dashboard.view import View
from django_workflows.models import Run

#: How runs stand that failed, and all that ended by themselves: what somebody has
#: stopped neither failed nor succeeded.
FAILED = (Run.Status.FAILED, Run.Status.TIMED_OUT)
ENDED = (*FAILED, Run.Status.COMPLETED, Run.Status.CONTINUED_AS_NEW)


def failed_url(view: View) -> str:
    """The list of the runs of the period that failed."""
    return runs_url(status=",".join(FAILED), created_within=view.period.key)


def failure_rate(view: View) -> float | None:
    """That of the whole period, in percent; None if no run has ended."""
    failed, ended = failed_of_ended(view)
    return 100 * failed / ended if ended else None


def failed_of_ended(view: View) -> tuple[float, float]:
    """How many runs of the period failed, of how many that ended by themselves: counted
    or estimated."""
    counts = view.runs.by_status
    failed, ended = (
        sum(sum(counts[each]) for each in statuses) for statuses in (FAILED, ENDED)
    )
    return failed, ended
