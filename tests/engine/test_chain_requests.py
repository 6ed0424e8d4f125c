"""What people ask of a chain of runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows import (
    InvalidRunStateError,
    WorkflowRunCancelledError,
    WorkflowRunTimedOutError,
    continue_as_new,
    create_hook,
    get_run,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event
from django_workflows.replay.events import CANCEL_REQUESTED, RUN_PAUSED
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


@pytest.mark.parametrize(
    "action", ["cancel", "terminate", "pause", "resume", "wake", "retry"]
)
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
    third.cancel()
    workflows.run_until_idle()
    with pytest.raises(InvalidRunStateError, match=third.pk):
        getattr(first, action)()


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


def test_deadline_of_the_last_run_is_the_result(workflows: WorkflowTester) -> None:
    @workflow
    async def slower(hours: int) -> None:
        await sleep(hours * 3600)
        continue_as_new(hours + 1)

    run = slower.options(timeout="150m").start(1)
    workflows.advance("1d")
    with pytest.raises(WorkflowRunTimedOutError) as caught:
        run.result()
    _, second, third = chain(run)
    assert caught.value.run_id == third.pk
    assert second.status == "continued_as_new"


def test_paused_chain_stands_still_and_goes_on(workflows: WorkflowTester) -> None:
    run = start(resting, 3)
    workflows.advance("1h")
    chain(run)[-1].pause()
    workflows.advance("5h")
    assert [link.status for link in chain(run)] == ["continued_as_new", "paused"]
    chain(run)[-1].resume()
    workflows.advance("1h")
    assert run.result() == "rested"


def test_pause_that_comes_too_late_holds_the_successor(
    workflows: WorkflowTester,
) -> None:
    run = start(resting, 3)
    workflows.advance("1h")
    insert_inbox(connection(), run.pk, RUN_PAUSED)
    sweep.sweep(sweep.DeadWatch())
    workflows.advance("5h")
    assert [link.status for link in chain(run)] == ["continued_as_new", "paused"]


def test_wake_means_the_sleeps_of_the_current_run(workflows: WorkflowTester) -> None:
    run = start(resting, 3)
    for _ in range(3):
        workflows.run_until_idle()
        chain(run)[-1].wake()
    workflows.run_until_idle()
    assert run.result() == "rested"


def test_last_run_is_retried_in_place(workflows: WorkflowTester) -> None:
    """Its key, and the hooks that it was handed, are its again."""
    broken = [True]

    @step(max_retries=0)
    def work() -> str:
        if broken:
            raise ValueError("broken")
        return "worked"

    @workflow
    async def shaky(again: bool) -> list[Any]:
        if again:
            create_hook("shaky")
            await sleep("1m")
            continue_as_new(False)
        early = await work()
        return [early, await create_hook("shaky")]

    run = shaky.options(key="shaky").start(True)
    workflows.advance("1m")
    last = chain(run)[1]
    assert last.status == "failed"
    broken.clear()
    last.retry()
    workflows.run_until_idle()
    resume_hook("shaky", "payload")
    workflows.run_until_idle()
    assert run.result() == ["worked", "payload"]
    assert chain(run)[1].key_held is not None
    workflows.assert_replays(last)
