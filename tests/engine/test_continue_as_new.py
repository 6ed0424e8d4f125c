"""Runs that continue as new: their successors, hooks, keys, results and requests."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from django_workflows import (
    DuplicateRunError,
    HookNotFoundError,
    InvalidRunStateError,
    WorkflowRunCancelledError,
    WorkflowRunFailedError,
    continue_as_new,
    create_hook,
    get_hook_by_token,
    get_run,
    get_workflow_metadata,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Hook, Run, Step
from django_workflows.replay.events import CANCEL_REQUESTED
from django_workflows.store import rounds, sweep
from django_workflows.store.chains import current_run_id, forward_requests
from django_workflows.store.database import connection
from django_workflows.store.inbox import insert_inbox
from django_workflows.testing import WorkflowTester
from django_workflows.worker.reactor import Reactor


@step
def add(a: int, b: int) -> int:
    return a + b


@workflow
async def count_down(left: int, total: int = 0, *, note: str = "") -> dict[str, Any]:
    total = await add(total, left)
    if left:
        continue_as_new(left - 1, total, note=note + "x")
    return {"total": total, "note": note}


@workflow
async def collect(token: str, seen: list[Any], rounds: int) -> list[Any]:
    """One payload per run of the chain."""
    with create_hook(token, metadata={"round": rounds}) as hook:
        seen = [*seen, await hook]
        if rounds > 1:
            continue_as_new(token, seen, rounds - 1)
    return seen


@workflow
async def resting(naps: int) -> str:
    await sleep("1h")
    if naps > 1:
        continue_as_new(naps - 1)
    return "rested"


def chain(run: Run) -> list[Run]:
    """A run and all that followed it."""
    links = [get_run(run.pk)]
    while True:
        following = Run.objects.filter(continued_from=links[-1].pk)
        if not following:
            return links
        (link,) = following
        links.append(link)


def allowance(run: Run) -> timedelta:
    assert run.deadline_at is not None
    return run.deadline_at - run.created_at


def types(run: Run) -> list[str]:
    return [event.type for event in run.history()]


# -- the chain ----------------------------------------------------------------------


def test_result_is_that_of_the_last_run(workflows: WorkflowTester) -> None:
    assert workflows.run(count_down, 3) == {"total": 6, "note": "xxx"}


def test_chain_is_as_documented(workflows: WorkflowTester) -> None:
    run = start(count_down, 2)
    workflows.run_until_idle()
    first, second, third = chain(run)
    assert [r.status for r in (first, second, third)] == [
        "continued_as_new",
        "continued_as_new",
        "completed",
    ]
    assert second.continued_from_id == first.pk
    assert (second.args, second.kwargs) == ((1, 2), {"note": "x"})
    end = first.history()[-1]
    assert (end.type, end.data) == ("run_continued", {"run_id": second.pk})
    assert types(second)[:2] == ["run_created", "run_started"]
    assert first.finished_at is not None
    assert first.is_closed
    assert first.output is None
    for link in (first, second, third):
        assert link.result() == {"total": 3, "note": "xx"}
        workflows.assert_replays(link)
    assert bytes(first.seed) != bytes(second.seed)


def test_successor_has_what_was_said_of_the_run(workflows: WorkflowTester) -> None:
    run = resting.options(
        queue="eu", priority=7, attributes={"customer": 3}, timeout="90m"
    ).start(2)
    workflows.advance("1h")
    first, second = chain(run)
    for name in (
        "workflow",
        "version",
        "queue",
        "priority",
        "attributes",
        "timeout",
        "retention",
        "limit_key",
        "max_concurrency",
        "rate_limit",
        "parent_id",
        "root_id",
        "parent_call",
        "parent_close_policy",
    ):
        assert getattr(first, name) == getattr(second, name), name
    assert (second.attempt, second.epoch) == (1, 0)
    assert allowance(second) == allowance(first) == timedelta(minutes=90)


def test_time_out_counts_anew(workflows: WorkflowTester) -> None:
    run = resting.options(timeout="90m").start(3)
    workflows.advance("3h")
    assert run.result() == "rested"


def test_version_is_pinned(workflows: WorkflowTester) -> None:
    @workflow(name="pinned", version="1")
    async def old(left: int) -> str:
        await sleep("1h")
        if left:
            continue_as_new(left - 1)
        return f"old {get_workflow_metadata().version}"

    run = start(old, 1)
    workflows.run_until_idle()

    @workflow(name="pinned", version="2")
    async def new(left: int) -> str:
        return "new"

    workflows.advance("2h")
    assert run.result() == "old 1"
    assert start(new, 0).version == "2"


def test_steps_and_timers_end_as_at_any_end(workflows: WorkflowTester) -> None:
    @step(queue="nobody")
    def elsewhere() -> None:
        pass

    @workflow
    async def leaving(again: bool) -> str:
        if again:
            _ = elsewhere()
            sleep("1d")
            await sleep("1m")
            continue_as_new(False)
        return "left"

    assert workflows.run(leaving, True) == "left"
    assert not Step.objects.filter(status__in=["pending", "running"]).exists()
    run = Run.objects.for_workflow(leaving).order_by("created_at")[0]
    assert run.status == "continued_as_new"
    assert run.wake_at is None


def test_failure_of_the_last_run_names_it(workflows: WorkflowTester) -> None:
    @workflow
    async def failing(left: int) -> None:
        await add(1, 2)
        if left:
            continue_as_new(left - 1)
        raise ValueError("at last")

    run = start(failing, 2)
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError, match="at last") as caught:
        run.result()
    last = chain(run)[-1]
    assert caught.value.run_id == last.pk
    run.refresh_from_db()
    assert run.status == "continued_as_new"


def test_result_waits_for_the_end_of_the_chain(
    workflows: WorkflowTester, transactional_db: None
) -> None:
    run = start(resting, 2)
    workflows.advance("1h")
    with pytest.raises(TimeoutError) as caught:
        run.result(timeout=0.05)
    assert current_run_id(run.pk) in str(caught.value)
    workflows.advance("1h")
    assert run.result(timeout=5) == "rested"


def test_result_in_a_transaction_is_refused_while_the_chain_is_open(
    workflows: WorkflowTester,
) -> None:
    run = start(resting, 2)
    workflows.advance("1h")
    with transaction.atomic(), pytest.raises(RuntimeError, match="atomic"):
        run.result()


def test_long_chain(workflows: WorkflowTester) -> None:
    run = start(count_down, 520)
    workflows.run_until_idle()
    assert run.result()["total"] == 520 * 521 // 2
    assert Run.objects.count() == 521


def test_poison_arguments_fail_the_run_alone(workflows: WorkflowTester) -> None:
    @workflow
    async def growing(text: str) -> None:
        continue_as_new(text * 3_000_000)

    run = start(growing, "x")
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError, match="MAX_PAYLOAD_BYTES"):
        run.result()
    assert len(chain(run)) == 1


# -- keys ---------------------------------------------------------------------------


def test_key_moves_along(workflows: WorkflowTester) -> None:
    options = resting.options(key="nap")
    run = options.start(3)
    workflows.advance("1h")
    first, second = chain(run)
    assert options.start(3).pk == second.pk
    assert (first.key, first.key_held) == ("nap", None)
    assert second.key == "nap"
    with pytest.raises(DuplicateRunError) as caught:
        resting.options(key="nap", on_conflict="reject").start(3)
    assert caught.value.run_id == second.pk
    assert resting.options(key="nap", on_conflict="restart_closed").start(3) == second
    workflows.advance("2h")
    assert options.start(3).pk == chain(run)[-1].pk


def test_terminate_existing_ends_the_current_run(workflows: WorkflowTester) -> None:
    run = resting.options(key="nap").start(3)
    workflows.advance("1h")
    other = resting.options(key="nap", on_conflict="terminate_existing").start(1)
    second = chain(run)[-1]
    assert second.status == "terminated"
    assert other.pk != second.pk
    workflows.advance("1h")
    assert other.result() == "rested"


# -- steering -----------------------------------------------------------------------


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


# -- hooks --------------------------------------------------------------------------


def test_hook_is_kept_with_unread_payloads(workflows: WorkflowTester) -> None:
    run = start(collect, "c", [], 3)
    workflows.run_until_idle()
    for number in range(3):
        assert resume_hook("c", number).pk == run.pk
    workflows.run_until_idle()
    assert run.result() == [0, 1, 2]
    first, second, third = chain(run)
    assert types(second).count("hook_carried") == 1
    assert types(second)[:3] == ["run_created", "hook_carried", "run_started"]
    assert types(second).count("hook_received") == 1
    assert types(third).count("hook_received") == 1
    assert "hook_disposed" not in types(first)
    assert "hook_conflict" not in types(second)
    for link in (first, second, third):
        workflows.assert_replays(link)
    assert not Hook.objects.exists()


def test_payloads_sent_between_the_runs_come_after_the_unread(
    workflows: WorkflowTester,
) -> None:
    run = start(collect, "c", [], 5)
    workflows.run_until_idle()
    resume_hook("c", 0)
    resume_hook("c", 1)
    workflows.run_until_idle()
    current = get_hook_by_token("c").run
    assert current.pk == chain(run)[-1].pk
    assert resume_hook("c", 2).pk == current.pk
    workflows.crash()
    resume_hook("c", 3)
    resume_hook("c", 4)
    workflows.run_until_idle()
    assert run.result() == [0, 1, 2, 3, 4]


def test_metadata_is_that_of_the_new_claim(workflows: WorkflowTester) -> None:
    start(collect, "c", [], 2)
    workflows.run_until_idle()
    assert get_hook_by_token("c").metadata == {"round": 2}
    resume_hook("c", 0)
    workflows.run_until_idle()
    hook = get_hook_by_token("c")
    assert hook.metadata == {"round": 1}
    assert hook.is_carried is False


@workflow
async def slow_claim(token: str, again: bool) -> list[Any]:
    if again:
        hook = create_hook(token)
        first = await hook
        assert first == "go"
        continue_as_new(token, False)
    await sleep("1h")
    hook = create_hook(token)
    assert await hook.get_conflict() is None
    return [await hook, await hook]


def test_carried_hook_is_held_until_it_is_claimed(workflows: WorkflowTester) -> None:
    run = start(slow_claim, "s", True)
    workflows.run_until_idle()
    resume_hook("s", "go")
    resume_hook("s", 1)
    workflows.run_until_idle()
    hook = get_hook_by_token("s")
    second = chain(run)[1]
    assert (hook.run_id, hook.is_carried) == (second.pk, True)
    rival = start(collect, "s", [], 1)
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError, match=second.pk):
        rival.result()
    workflows.crash()
    resume_hook("s", 2)
    workflows.advance("1h")
    assert run.result() == [1, 2]
    workflows.assert_replays(chain(run)[1])


def test_unclaimed_hook_is_free_after_the_successor(workflows: WorkflowTester) -> None:
    @workflow
    async def forgetful(again: bool) -> str:
        if again:
            create_hook("forgotten")
            await sleep("1m")
            continue_as_new(False)
        await sleep("1m")
        return "done"

    run = start(forgetful, True)
    workflows.advance("1m")
    resume_hook("forgotten", "accepted")
    workflows.advance("1m")
    assert run.result() == "done"
    with pytest.raises(HookNotFoundError):
        resume_hook("forgotten", "too late")
    received = [e for e in chain(run)[1].history() if e.type == "hook_received"]
    assert [event.data["payload"] for event in received] == ["accepted"]


def test_unclaimed_hook_is_handed_on_again(workflows: WorkflowTester) -> None:
    @workflow
    async def passing(left: int) -> Any:
        hook = create_hook("passed") if left in (0, 3) else None
        await sleep("1m")
        if left:
            continue_as_new(left - 1)
        assert hook is not None
        return [await hook, await hook, await hook]

    run = start(passing, 3)
    workflows.run_until_idle()
    for number in range(3):
        resume_hook("passed", number)
        workflows.advance("1m")
    assert get_hook_by_token("passed").run_id == chain(run)[3].pk
    workflows.advance("1m")
    assert run.result() == [0, 1, 2]
    for link in chain(run):
        workflows.assert_replays(link)


def test_generated_token_is_carried(workflows: WorkflowTester) -> None:
    @workflow
    async def secretive(token: str) -> Any:
        hook = create_hook(token or None)
        if not token:
            await sleep("1m")
            continue_as_new(hook.token)
        return await hook

    run = start(secretive, "")
    workflows.run_until_idle()
    token = Hook.objects.get().token
    resume_hook(token, "found")
    workflows.advance("1m")
    assert run.result() == "found"


def test_claimed_hook_can_be_disposed_of(workflows: WorkflowTester) -> None:
    @workflow
    async def disposing(again: bool) -> str:
        hook = create_hook("d")
        if again:
            await hook
            continue_as_new(False)
        await hook.get_conflict()
        hook.dispose()
        await sleep("1m")
        return "done"

    run = start(disposing, True)
    workflows.run_until_idle()
    resume_hook("d")
    workflows.run_until_idle()
    assert not Hook.objects.exists()
    workflows.advance("1m")
    assert run.result() == "done"


def test_terminate_frees_carried_hooks(workflows: WorkflowTester) -> None:
    run = start(slow_claim, "s", True)
    workflows.run_until_idle()
    resume_hook("s", "go")
    workflows.run_until_idle()
    chain(run)[1].terminate()
    assert not Hook.objects.exists()


def test_deadline_of_a_successor(workflows: WorkflowTester) -> None:
    run = slow_claim.options(timeout="30m").start("s", True)
    workflows.run_until_idle()
    workflows.advance("20m")
    resume_hook("s", "go")
    workflows.run_until_idle()
    second = chain(run)[1]
    assert allowance(second) == allowance(run) == timedelta(minutes=30)
