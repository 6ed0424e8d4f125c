"""Hooks that a run hands on to its successor."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from django_workflows import (
    HookConflictError,
    HookNotFoundError,
    WorkflowRunFailedError,
    continue_as_new,
    create_hook,
    get_hook_by_token,
    resume_hook,
    sleep,
    start,
    workflow,
)
from django_workflows.models import Hook
from django_workflows.testing import WorkflowTester
from tests.engine.chains import add, allowance, chain, collect, types


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


# -- copies of a successor ----------------------------------------------------------


@workflow
async def two_sided(again: bool) -> list[Any]:
    """Claims one of its carried hooks before a step, the other after it."""
    if again:
        create_hook("left")
        create_hook("right")
        await sleep("1m")
        continue_as_new(False)
    left = create_hook("left")
    assert await left.get_conflict() is None
    first = await add(1, 2)
    right = create_hook("right")
    return [first, await left, await right]


def test_fork_of_a_successor_claims_what_it_was_handed(
    workflows: WorkflowTester,
) -> None:
    run = start(two_sided, True)
    workflows.advance("1m")
    second = chain(run)[1]
    (step_id,) = [
        event.correlation_id
        for event in second.history()
        if event.type == "step_created"
    ]
    with pytest.raises(HookConflictError, match=second.pk):
        second.fork(from_step=step_id)
    second.terminate()
    fork = second.fork(from_step=step_id)
    workflows.run_until_idle()
    for token in ("right", "left"):
        assert resume_hook(token, token).pk == fork.pk
    workflows.run_until_idle()
    assert fork.result() == [3, "left", "right"]
    workflows.assert_replays(fork)
    assert not Hook.objects.exists()


def test_replay_of_a_successor_starts_without_hooks(workflows: WorkflowTester) -> None:
    run = start(two_sided, True)
    workflows.advance("1m")
    second = chain(run)[1]
    second.terminate()
    again = second.replay()
    assert again.continued_from is None
    workflows.run_until_idle()
    assert "hook_carried" not in types(again)
    for token in ("right", "left"):
        resume_hook(token, token)
    workflows.run_until_idle()
    assert again.result() == [3, "left", "right"]


def test_older_link_can_be_run_again(workflows: WorkflowTester) -> None:
    run = start(collect, "c", [], 2)
    for payload in (1, 2):
        workflows.run_until_idle()
        resume_hook("c", payload)
    workflows.run_until_idle()
    again = chain(run)[0].replay()
    for payload in (3, 4):
        workflows.run_until_idle()
        resume_hook("c", payload)
    workflows.run_until_idle()
    assert (run.result(), again.result()) == ([1, 2], [3, 4])
