"""What can be asked of a run that has ended, by how it has ended."""

from __future__ import annotations

from typing import Any

import pytest

from django_workflows import (
    InvalidRunStateError,
    cancel_runs,
    continue_as_new,
    retry_runs,
    sleep,
    terminate_runs,
    workflow,
)
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester

ENDS = [
    "completed",
    "failed",
    "cancelled",
    "terminated",
    "timed_out",
    "continued_as_new",
]
#: What a run may be asked after its end; all else is refused.
POSSIBLE = {
    ("cancelled", "cancel"),
    ("failed", "retry"),
    ("cancelled", "retry"),
    ("timed_out", "retry"),
}


@workflow
async def ending(how: str) -> str:
    if how == "failed":
        raise ValueError("no luck")
    if how == "continued_as_new":
        continue_as_new("completed")
    if how != "completed":
        await sleep("1d")
    return how


def ended(workflows: WorkflowTester, how: str) -> Run:
    timeout = "1h" if how == "timed_out" else None
    run: Run = ending.options(timeout=timeout).start(how)
    workflows.run_until_idle()
    if how == "cancelled":
        run.cancel()
        workflows.run_until_idle()
    elif how == "terminated":
        run.terminate()
    elif how == "timed_out":
        workflows.advance("1h")
    run.refresh_from_db()
    assert run.status == how
    return run


def snapshot(run: Run) -> Any:
    """All there is of a run, what nobody has read yet included."""
    return (
        Run.objects.filter(pk=run.pk).values().get(),
        list(Event.objects.filter(run=run).order_by("id").values()),
    )


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(
    "action", ["cancel", "terminate", "pause", "resume", "wake", "retry"]
)
def test_what_is_impossible_is_refused_and_changes_nothing(
    workflows: WorkflowTester, how: str, action: str
) -> None:
    run = ended(workflows, how)
    before = snapshot(run)
    if (how, action) in POSSIBLE:
        getattr(run, action)()
        changed = snapshot(run) != before
        assert changed == (action == "retry")
        return
    words = how.replace("_", ".")  # of the status, or "continued as new"
    with pytest.raises(InvalidRunStateError, match=words) as refusal:
        getattr(run, action)()
    assert refusal.value.run_id == run.pk
    assert snapshot(run) == before
    workflows.advance("2d")
    assert snapshot(run) == before


@pytest.mark.parametrize(
    ("act", "action"),
    [(cancel_runs, "cancel"), (terminate_runs, "terminate"), (retry_runs, "retry")],
)
def test_bulk_actions_refuse_the_same(
    workflows: WorkflowTester, act: Any, action: str
) -> None:
    runs = {how: ended(workflows, how) for how in ENDS}
    result = act(Run.objects.filter(pk__in=[run.pk for run in runs.values()]))
    possible = {runs[how].pk for how in ENDS if (how, action) in POSSIBLE}
    assert set(result.done) == possible
    assert set(result.refused) == {run.pk for run in runs.values()} - possible
    for run_id, refusal in result.refused.items():
        assert isinstance(refusal, InvalidRunStateError)
        assert refusal.run_id == run_id


@pytest.mark.parametrize("how", ENDS)
def test_any_ended_run_can_be_replayed_and_stays_as_it_is(
    workflows: WorkflowTester, how: str
) -> None:
    run = ended(workflows, how)
    before = snapshot(run)
    again = run.replay()
    assert again.pk != run.pk
    assert again.args == (how,)
    workflows.advance("2d")
    assert snapshot(run) == before
    again.refresh_from_db()
    assert again.is_closed
