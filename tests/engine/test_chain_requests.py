"""What people ask of a chain of runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows import (
    InvalidRunStateError,
    WorkflowRunCancelledError,
    continue_as_new,
    get_run,
    sleep,
    start,
    workflow,
)
from django_workflows.models import Event
from django_workflows.replay.events import CANCEL_REQUESTED
from django_workflows.store import rounds, sweep
from django_workflows.store.chains import forward_requests
from django_workflows.store.database import connection
from django_workflows.store.inbox import insert_inbox
from django_workflows.testing import WorkflowTester
from django_workflows.worker.reactor import Reactor
from tests.engine.chains import (
    chain,
    count_down,
    resting,
    types,
)


@pytest.mark.parametrize("action", ["cancel", "terminate"])
def test_older_link_refuses_and_names_the_current_run(
    workflows: WorkflowTester, action: str
) -> None:
    run = start(resting, 3)
    workflows.advance("2h")
    first, second, third = chain(run)
    for old in (first, second):
        with pytest.raises(InvalidRunStateError, match=third.pk):
            getattr(old, action)()
        assert get_run(old.pk).status == "continued_as_new"
    getattr(third, action)()
    workflows.run_until_idle()
    assert get_run(third.pk).is_closed


def test_cancel_of_the_current_run_is_the_result(workflows: WorkflowTester) -> None:
    run = start(resting, 3)
    workflows.advance("1h")
    chain(run)[-1].cancel()
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunCancelledError):
        run.result()


def test_request_in_the_inbox_moves_along(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the round has read the inbox and before the round is stored."""
    log: list[str] = []

    @workflow
    async def hurried(again: bool) -> str:
        if again:
            continue_as_new(False)
        try:
            await sleep("1d")
        except asyncio.CancelledError:
            log.append("cancelled")
            raise
        return "slept"

    run = start(hurried, True)
    lock_runs = rounds.lock_runs

    def request_and_lock(*args: Any) -> set[str]:
        if not log:
            log.append("requested")
            insert_inbox(connection(), run.pk, CANCEL_REQUESTED, detail="{}")
        return lock_runs(*args)

    monkeypatch.setattr(rounds, "lock_runs", request_and_lock)
    workflows.run_until_idle()
    assert log == ["requested", "cancelled"]
    with pytest.raises(WorkflowRunCancelledError):
        run.result()
    assert "cancel_requested" in types(chain(run)[1])


def test_request_that_commits_later_is_forwarded(workflows: WorkflowTester) -> None:
    run = start(resting, 3)
    workflows.advance("2h")
    insert_inbox(connection(), run.pk, CANCEL_REQUESTED, detail="{}")
    insert_inbox(connection(), run.pk, "step_completed", "step_gone")
    sweep.sweep(sweep.DeadWatch())
    workflows.run_until_idle()
    assert get_run(chain(run)[2].pk).status == "cancelled"
    assert not Event.objects.filter(seq=None).exists()
    assert forward_requests(connection()) == 0


def test_request_to_a_chain_that_has_ended_is_dropped(
    workflows: WorkflowTester,
) -> None:
    run = start(count_down, 1)
    workflows.run_until_idle()
    insert_inbox(connection(), run.pk, CANCEL_REQUESTED, detail="{}")
    sweep.sweep(sweep.DeadWatch())
    assert not Event.objects.filter(seq=None).exists()
    assert run.result()["total"] == 1


def test_successor_that_has_not_begun_gets_its_cancellation(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain has begun: its clean-up has to run."""
    log: list[str] = []

    @workflow
    async def tidy(held: list[str]) -> None:
        try:
            if not held:
                continue_as_new(["resource"])
            await sleep("1d")
        except asyncio.CancelledError:
            log.extend(held)
            raise

    run = start(tidy, [])
    claim_runs = Reactor._claim_runs
    claims: list[str] = []

    def claim_once(self: Reactor) -> bool:
        claims.append("")
        return len(claims) == 1 and claim_runs(self)

    with monkeypatch.context() as patch:
        patch.setattr(Reactor, "_claim_runs", claim_once)
        workflows.run_until_idle()
        second = chain(run)[1]
        assert second.started_at is None
        second.cancel()
    workflows.run_until_idle()
    assert get_run(second.pk).status == "cancelled"
    assert log == ["resource"]
