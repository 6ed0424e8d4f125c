"""Hooks: payloads from outside, in order, once, and with the caller's transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from django_workflows import (
    HookConflictError,
    HookDisposedError,
    HookNotFoundError,
    SerializationError,
    aget_hook_by_token,
    aresume_hook,
    create_hook,
    get_hook_by_token,
    race,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Hook, Run
from django_workflows.store.hooks import resume_this_hook
from django_workflows.testing import WorkflowTester
from tests.engine.transactions import rolled_back


@step
def shout(text: str) -> str:
    return text.upper()


@workflow
async def one_payload(token: str = "t") -> Any:
    return await create_hook(token=token)


@workflow
async def default_token() -> Any:
    hook = create_hook()
    await shout(hook.token)
    return [hook.token, await hook]


@workflow
async def collecting(token: str) -> Any:
    hook = create_hook(token=token, metadata={"custom": 1})
    found = []
    async for payload in hook:
        found.append(payload)
        if payload == "last":
            hook.dispose()
    return found


@workflow
async def steps_between() -> list[str]:
    hook = create_hook(token="t")
    return [await shout(await hook), await shout("step"), await shout(await hook)]


@workflow
async def sleeping_first(token: str = "t") -> Any:
    with create_hook(token=token) as hook:
        await sleep("1h")
        return [await hook, await hook]


@workflow
async def disposing_then_sleeping(token: str) -> str:
    with create_hook(token=token):
        pass
    await sleep("1h")
    return "done"


@workflow
async def reading_after_disposal() -> Any:
    hook = create_hook(token="t")
    await sleep("1h")
    hook.dispose()
    hook.dispose()
    found: list[Any] = [await hook, await hook]
    try:
        await hook
    except HookDisposedError as error:
        found.append(type(error).__name__)
    return found + [payload async for payload in hook]


@workflow
async def conflicting(token: str) -> Any:
    hook = create_hook(token=token)
    owner = await hook.get_conflict()
    errors = []
    for _ in range(2):
        try:
            await hook
        except HookConflictError as error:
            errors.append((error.token, error.run_id))
    return owner, errors


@workflow
async def not_catching_the_conflict(token: str) -> Any:
    return await create_hook(token=token)


@workflow
async def asking_for_conflict(token: str) -> Any:
    with create_hook(token=token) as hook:
        return await hook.get_conflict()


@workflow
async def claiming_again() -> Any:
    with create_hook(token="t") as first:
        one = await first
    with create_hook(token="t") as second:
        return [one, await second]


@workflow
async def disposing_and_claiming_at_once() -> Any:
    create_hook(token="t").dispose()
    return await create_hook(token="t")


@workflow
async def two_hooks() -> Any:
    one, two = create_hook(token="one"), create_hook(token="two")
    first = await race(one, two)
    one.dispose()
    return [first, await two]


@workflow
async def hook_or_timeout() -> Any:
    found: list[Any] = []
    with create_hook(token="t") as hook:
        while len(found) < 3:
            found.append(await race(hook, sleep("1h")))
    return found


@workflow
async def timing_out_on_a_hook() -> Any:
    hook = create_hook(token="t")
    try:
        await asyncio.wait_for(hook, 60)
    except TimeoutError:
        return ["late", await hook]
    return "early"


def begin(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    run = start(target, *args)
    workflows.run_until_idle()
    return run


# -- payloads -------------------------------------------------------------------------


def test_a_payload_reaches_the_run(workflows: WorkflowTester) -> None:
    run = begin(workflows, one_payload)
    assert resume_hook("t", {"a": 1}) == run
    workflows.run_until_idle()
    assert run.result() == {"a": 1}


def test_the_log_of_a_hook(workflows: WorkflowTester) -> None:
    run = begin(workflows, one_payload)
    resume_hook("t", 1)
    workflows.run_until_idle()
    assert [event.type for event in run.history()] == [
        "run_created",
        "run_started",
        "hook_created",
        "hook_received",
        "run_completed",
    ]


def test_a_payload_may_be_none(workflows: WorkflowTester) -> None:
    run = begin(workflows, one_payload)
    resume_hook("t")
    workflows.run_until_idle()
    assert run.result() is None
    assert run.status != "failed"


def test_payloads_are_iterated_in_order(workflows: WorkflowTester) -> None:
    run = begin(workflows, collecting, "t")
    for payload in ("a", "b"):
        resume_hook("t", payload)
    workflows.run_until_idle()
    resume_hook("t", "c")
    resume_hook("t", "last")
    workflows.run_until_idle()
    assert run.result() == ["a", "b", "c", "last"]
    with pytest.raises(HookNotFoundError):
        resume_hook("t", "too late")


def test_payloads_before_the_await_are_kept_in_order(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, sleeping_first)
    resume_hook("t", 1)
    workflows.run_until_idle()
    resume_hook("t", 2)
    workflows.crash()
    workflows.advance("1h")
    assert run.result() == [1, 2]


def test_payloads_and_steps_take_turns(workflows: WorkflowTester) -> None:
    run = begin(workflows, steps_between)
    resume_hook("t", "a")
    workflows.run_until_idle()
    resume_hook("t", "b")
    workflows.run_until_idle()
    assert run.result() == ["A", "STEP", "B"]


def test_payloads_nobody_awaits_are_ignored(workflows: WorkflowTester) -> None:
    run = begin(workflows, one_payload)
    for payload in range(3):
        resume_hook("t", payload)
    workflows.run_until_idle()
    assert run.result() == 0
    assert not Event.objects.filter(seq=None).exists()
    # What was accepted is in the log, before its end.
    assert [event.type for event in run.history()][-1] == "run_completed"
    assert [event.type for event in run.history()].count("hook_received") == 3


def test_many_payloads_sent_at_once(workflows: WorkflowTester) -> None:
    run = begin(workflows, collecting, "t")
    for number in range(50):
        resume_hook("t", number)
    resume_hook("t", "last")
    workflows.run_until_idle()
    assert run.result() == [*range(50), "last"]
    seqs = [event.seq for event in run.history()]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_payload_that_cannot_be_stored_is_refused(workflows: WorkflowTester) -> None:
    begin(workflows, one_payload)
    with pytest.raises(SerializationError, match=r"payload\['x'\]"):
        resume_hook("t", {"x": lambda: 1})
    assert not Event.objects.filter(type="hook_received").exists()


# -- transactions ---------------------------------------------------------------------


def test_resume_in_a_rolled_back_block_sends_nothing(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, one_payload)
    with rolled_back():
        resume_hook("t", "lost")
    resume_hook("t", "kept")
    workflows.run_until_idle()
    assert run.result() == "kept"


def test_an_unknown_token_leaves_the_block_usable(workflows: WorkflowTester) -> None:
    begin(workflows, one_payload)
    with transaction.atomic():
        with pytest.raises(HookNotFoundError):
            resume_hook("unknown", 1)
        resume_hook("t", 2)
    workflows.run_until_idle()
    assert Run.objects.get().result() == 2


# -- tokens ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["unknown", "", "T", "t ", "\0", "\ud800", "x" * 5000]
)
def test_unknown_tokens_are_not_found(workflows: WorkflowTester, token: str) -> None:
    begin(workflows, one_payload)
    with pytest.raises(HookNotFoundError):
        resume_hook(token, 1)
    with pytest.raises(HookNotFoundError):
        get_hook_by_token(token)


@pytest.mark.parametrize("token", [None, 7, b"t"])
def test_what_is_no_token(workflows: WorkflowTester, token: Any) -> None:
    with pytest.raises(TypeError, match="the token of a hook is a text"):
        resume_hook(token, 1)
    with pytest.raises(TypeError, match="the token of a hook is a text"):
        get_hook_by_token(token)


def test_a_token_is_unknown_before_the_run_has_begun(
    workflows: WorkflowTester,
) -> None:
    start(one_payload)
    with pytest.raises(HookNotFoundError):
        resume_hook("t", 1)


def test_the_token_of_an_ended_run_is_unknown(workflows: WorkflowTester) -> None:
    begin(workflows, one_payload)
    resume_hook("t", 1)
    workflows.run_until_idle()
    with pytest.raises(HookNotFoundError):
        resume_hook("t", 1)
    assert not Hook.objects.exists()


def test_a_default_token_is_secret_and_stable(workflows: WorkflowTester) -> None:
    first, second = begin(workflows, default_token), begin(workflows, default_token)
    tokens = {run.pk: run.hooks.get().token for run in (first, second)}
    assert tokens[first.pk] != tokens[second.pk]
    assert min(map(len, tokens.values())) >= 21
    assert first.pk not in tokens[first.pk]
    workflows.crash()
    resume_hook(tokens[first.pk], "x")
    workflows.run_until_idle()
    assert first.result() == [tokens[first.pk], "x"]


def test_get_hook_by_token(workflows: WorkflowTester) -> None:
    run = begin(workflows, collecting, "tökén")
    hook = get_hook_by_token("tökén")
    assert hook.run == run
    assert hook.token == "tökén"
    assert hook.metadata == {"custom": 1}
    assert hook.created_at == workflows.now
    assert async_to_sync(aget_hook_by_token)("tökén") == hook


def test_a_hook_that_is_gone_gives_its_token_but_not_its_payloads_away(
    workflows: WorkflowTester,
) -> None:
    """Who has looked a hook up may send to that one alone: meanwhile its run can have
    ended, and another one claimed the token."""
    begin(workflows, one_payload)
    seen = get_hook_by_token("t")
    resume_hook("t", 1)
    workflows.run_until_idle()
    other = begin(workflows, one_payload)
    with pytest.raises(HookNotFoundError):
        resume_this_hook(seen, 2)
    workflows.run_until_idle()
    assert not other.is_closed
    resume_this_hook(get_hook_by_token("t"), 3)
    workflows.run_until_idle()
    assert other.result() == 3


def test_async_twin_of_resume(workflows: WorkflowTester) -> None:
    run = begin(workflows, one_payload)
    assert async_to_sync(aresume_hook)("t", 5) == run
    workflows.run_until_idle()
    assert run.result() == 5


@pytest.mark.parametrize("token", ["", "  ", "\0", "x" * 1001, "\ud800"])
def test_tokens_that_cannot_be_kept_are_refused(
    workflows: WorkflowTester, token: str
) -> None:
    run = begin(workflows, one_payload, token)
    run.refresh_from_db()
    assert isinstance(run.error, ValueError)


# -- conflicts ------------------------------------------------------------------------


def test_a_second_claim_gets_a_conflict_at_every_await(
    workflows: WorkflowTester,
) -> None:
    holder = begin(workflows, one_payload)
    loser = begin(workflows, conflicting, "t")
    owner, errors = loser.result()
    assert owner == holder.pk
    assert errors == [("t", holder.pk)] * 2
    types = [event.type for event in loser.history()]
    assert "hook_conflict" in types
    assert "hook_created" not in types
    resume_hook("t", "for the holder")
    workflows.run_until_idle()
    assert holder.result() == "for the holder"


def test_an_uncaught_conflict_fails_the_run(workflows: WorkflowTester) -> None:
    holder = begin(workflows, one_payload)
    loser = begin(workflows, not_catching_the_conflict, "t")
    loser.refresh_from_db()
    assert isinstance(loser.error, HookConflictError)
    assert (loser.error.token, loser.error.run_id) == ("t", holder.pk)


def test_of_runs_claiming_in_the_same_round_one_gets_the_token(
    workflows: WorkflowTester,
) -> None:
    runs = [start(one_payload) for _ in range(5)]
    workflows.run_until_idle()
    for run in runs:
        run.refresh_from_db()
    assert sorted(run.status for run in runs) == ["failed"] * 4 + ["running"]
    assert Hook.objects.count() == 1


def test_a_run_can_conflict_with_itself(workflows: WorkflowTester) -> None:
    run = begin(workflows, claiming_twice)
    run.refresh_from_db()
    assert isinstance(run.error, HookConflictError)
    assert run.error.run_id == run.pk


@workflow
async def claiming_twice() -> Any:
    create_hook(token="t")
    return await create_hook(token="t")


def test_no_conflict_is_none(workflows: WorkflowTester) -> None:
    assert workflows.run(asking_for_conflict, "t") is None


def test_conflicts_replay(workflows: WorkflowTester) -> None:
    begin(workflows, one_payload)
    run = begin(workflows, conflicting, "t")
    workflows.assert_replays(run)


# -- disposal -------------------------------------------------------------------------


def test_a_token_is_free_after_disposal(workflows: WorkflowTester) -> None:
    first = begin(workflows, disposing_then_sleeping, "t")
    second = begin(workflows, one_payload)
    resume_hook("t", "second")
    workflows.run_until_idle()
    assert second.result() == "second"
    workflows.advance("1h")
    assert first.result() == "done"


def test_payloads_received_before_disposal_can_be_read(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, reading_after_disposal)
    resume_hook("t", 1)
    resume_hook("t", 2)
    workflows.advance("1h")
    assert run.result() == [1, 2, "HookDisposedError"]
    assert [e.type for e in run.history()].count("hook_disposed") == 1


def test_a_token_can_be_claimed_again_by_the_same_run(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, claiming_again)
    resume_hook("t", 1)
    workflows.run_until_idle()
    resume_hook("t", 2)
    workflows.run_until_idle()
    assert run.result() == [1, 2]


def test_disposal_and_a_new_claim_at_once(workflows: WorkflowTester) -> None:
    run = begin(workflows, disposing_and_claiming_at_once)
    resume_hook("t", "new")
    workflows.run_until_idle()
    assert run.result() == "new"


def test_the_other_hook_goes_on_after_a_disposal(workflows: WorkflowTester) -> None:
    run = begin(workflows, two_hooks)
    resume_hook("one", 1)
    workflows.run_until_idle()
    with pytest.raises(HookNotFoundError):
        resume_hook("one", 1)
    resume_hook("two", 2)
    workflows.run_until_idle()
    assert run.result() == [1, 2]


# -- with timers ----------------------------------------------------------------------


def test_a_hook_and_a_timer_race(workflows: WorkflowTester) -> None:
    run = begin(workflows, hook_or_timeout)
    resume_hook("t", "a")
    workflows.advance("90m")
    workflows.crash()
    resume_hook("t", "b")
    workflows.run_until_idle()
    assert run.result() == ["a", None, "b"]


def test_a_wait_that_timed_out_loses_no_payload(workflows: WorkflowTester) -> None:
    run = begin(workflows, timing_out_on_a_hook)
    workflows.advance("2m")
    resume_hook("t", "after all")
    workflows.run_until_idle()
    assert run.result() == ["late", "after all"]


def test_hooks_cannot_be_created_outside_of_a_workflow() -> None:
    with pytest.raises(RuntimeError, match="inside a workflow"):
        create_hook()
