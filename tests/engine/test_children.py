"""Children: runs that belong to a run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.utils import timezone

from django_workflows import (
    ChildWorkflowError,
    DuplicateRunError,
    WorkflowRunCancelledError,
    WorkflowRunFailedError,
    WorkflowRunTerminatedError,
    create_hook,
    get_run,
    get_step_metadata,
    get_workflow_metadata,
    resume_hook,
    sleep,
    start,
    start_child,
    start_many,
    step,
    workflow,
)
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester

pytestmark = pytest.mark.django_db


@step
def double(number: int) -> int:
    return number * 2


@workflow
async def doubling(number: int) -> int:
    return await double(number)


@workflow
async def fan_out(count: int) -> int:
    handles = [start_child(doubling, n) for n in range(count)]
    return sum(await asyncio.gather(*handles))


@workflow
async def nested(depth: int) -> list[str]:
    here = get_workflow_metadata().run_id
    if depth == 0:
        return [here]
    return [here, *await start_child(nested, depth - 1)]


def test_result_of_a_child(workflows: WorkflowTester) -> None:
    assert workflows.run(fan_out, 3) == 6
    parent = Run.objects.get(workflow=fan_out.name)
    children = list(Run.objects.filter(workflow=doubling.name).order_by("id"))
    assert [child.output for child in children] == [0, 2, 4]
    for child in children:
        assert child.parent == child.root == parent
        assert child.parent_close_policy == "cancel"
    created = [e.data for e in parent.history() if e.type == "child_created"]
    assert [data["run_id"] for data in created] == [child.pk for child in children]
    assert [data["args"] for data in created] == [(0,), (1,), (2,)]
    ends = [e.data for e in parent.history() if e.type == "child_completed"]
    assert sorted(data["output"] for data in ends) == [0, 2, 4]
    workflows.assert_replays(parent)


def test_children_of_children(workflows: WorkflowTester) -> None:
    ids = workflows.run(nested, 5)
    assert len(set(ids)) == 6
    runs = [get_run(run_id) for run_id in ids]
    assert [run.parent_id for run in runs] == [None, *ids[:-1]]
    assert [run.root_id for run in runs] == [None, *[ids[0]] * 5]


def test_thousand_children(workflows: WorkflowTester) -> None:
    assert workflows.run(fan_out, 1000) == sum(range(1000)) * 2
    parent = Run.objects.get(workflow=fan_out.name)
    assert len(parent.history()) == 2003
    assert parent.children.filter(status="completed").count() == 1000
    workflows.assert_replays(parent)


# -- how a child ends ------------------------------------------------------------------


@workflow
async def failing(message: str) -> None:
    raise ValueError(message)


@workflow
async def sleeping(name: str = "") -> str:
    await sleep("1d")
    return name


@workflow
async def stubborn(value: int) -> int:
    try:
        await sleep("1d")
    except asyncio.CancelledError:
        await double(1)
        return value
    return -1


@workflow
async def waits_for(name: str, options: dict[str, Any], argument: Any) -> Any:
    by_name = {
        "sleeping": sleeping,
        "stubborn": stubborn,
        "failing": failing,
        "doubling": doubling,
    }
    child: Any = by_name[name].options(**options)  # type: ignore[attr-defined]
    try:
        return await start_child(child, argument)
    except ChildWorkflowError as error:
        cause: Any = error.cause
        return [type(cause).__name__, str(cause), error.run_id]


def begin(workflows: WorkflowTester, wf: Any, *args: Any) -> tuple[Run, Run]:
    """A parent and the child it waits for, both at rest."""
    parent = workflows.start(wf, *args)
    workflows.run_until_idle()
    child = Run.objects.get(parent=parent)
    assert child.status in ("running", "pending")
    parent.refresh_from_db()
    return parent, child


def test_failed_child_raises_with_its_error_as_the_cause(
    workflows: WorkflowTester,
) -> None:
    name, message, run_id = workflows.run(waits_for, "failing", {}, "no luck")
    assert (name, message) == ("ValueError", "no luck")
    assert get_run(run_id).status == "failed"


def test_failure_that_nobody_catches_goes_up_with_its_causes(
    workflows: WorkflowTester,
) -> None:
    @workflow
    async def careless() -> None:
        await start_child(failing, "no luck")

    with pytest.raises(WorkflowRunFailedError) as failure:
        workflows.run(careless)
    error = failure.value.cause
    assert isinstance(error, ChildWorkflowError)
    assert isinstance(error.cause, ValueError)
    assert str(error.cause) == "no luck"
    assert error.run_id == Run.objects.get(workflow=failing.name).pk


def test_cancelled_child(workflows: WorkflowTester) -> None:
    parent, child = begin(workflows, waits_for, "sleeping", {}, "x")
    child.cancel("not needed")
    workflows.run_until_idle()
    assert parent.result()[0] == WorkflowRunCancelledError.__name__
    assert [e.type for e in parent.history()][-2:] == [
        "child_cancelled",
        "run_completed",
    ]


def test_parent_of_an_open_child_waits_for_more_than_timers(
    workflows: WorkflowTester,
) -> None:
    parent, child = begin(workflows, waits_for, "sleeping", {}, "x")
    child.refresh_from_db()
    assert (parent.is_waiting, child.is_waiting) == (False, True)


def test_child_cancelled_before_it_has_begun(workflows: WorkflowTester) -> None:
    parent, child = begin(workflows, waits_for, "sleeping", {"delay": "1h"}, "x")
    assert child.status == "pending"
    child.cancel()
    workflows.run_until_idle()
    assert parent.result()[0] == WorkflowRunCancelledError.__name__


def test_terminated_child(workflows: WorkflowTester) -> None:
    parent, child = begin(workflows, waits_for, "sleeping", {}, "x")
    child.terminate()
    workflows.run_until_idle()
    assert parent.result()[0] == WorkflowRunTerminatedError.__name__
    end = parent.history()[-2]
    assert end.type == "child_failed"
    assert end.data == {"run_id": child.pk, "status": "terminated"}


def test_child_that_swallows_the_request_gives_its_result(
    workflows: WorkflowTester,
) -> None:
    @workflow
    async def asks() -> int:
        handle = start_child(stubborn, 7)
        await sleep("1h")
        handle.cancel()
        result: int = await handle
        return result

    assert workflows.run(asks) == 7


def test_cancelling_the_await_does_not_wait_for_the_child(
    workflows: WorkflowTester,
) -> None:
    @workflow
    async def impatient() -> str:
        try:
            await asyncio.wait_for(start_child(sleeping), timeout=3600)
        except TimeoutError:
            return "gave up"
        return "waited"

    parent, child = begin(workflows, impatient)
    workflows.advance("1h")
    assert parent.result() == "gave up"
    child.refresh_from_db()
    assert child.status == "cancelled"
    reason = [e.data for e in child.history() if e.type == "cancel_requested"]
    assert parent.pk in reason[0]["reason"]


def test_shielded_child_hears_of_no_cancellation(workflows: WorkflowTester) -> None:
    @workflow
    async def shielding() -> str:
        handle = start_child(sleeping, "whole")
        try:
            await asyncio.wait_for(asyncio.shield(handle), timeout=3600)
        except TimeoutError:
            result: str = await handle
        return result

    assert workflows.run(shielding) == "whole"


def test_child_cancelled_in_the_burst_that_starts_it(workflows: WorkflowTester) -> None:
    @workflow
    async def regrets() -> str:
        handle = start_child(doubling, 1)
        handle.cancel()
        try:
            await handle
        except ChildWorkflowError as error:
            return type(error.cause).__name__
        return "too late"

    assert workflows.run(regrets) == WorkflowRunCancelledError.__name__
    child = Run.objects.get(workflow=doubling.name)
    assert [e.type for e in child.history()] == [
        "run_created",
        "cancel_requested",
        "run_cancelled",
    ]


# -- options ---------------------------------------------------------------------------


def test_options_apply(workflows: WorkflowTester) -> None:
    options = {
        "queue": "eu",
        "priority": 5,
        "attributes": {"customer": 7},
        "retention": "1d",
        "delay": "1h",
        "timeout": "1d",
    }
    parent, child = begin(workflows, waits_for, "doubling", options, 4)
    assert (child.queue, child.priority) == ("eu", 5)
    assert child.attributes == {"customer": 7}
    assert child.retention == 86400
    assert child.deadline_at is not None
    assert child.wake_at is not None
    assert (child.deadline_at - child.wake_at).total_seconds() == 86400
    assert child.status == "pending"
    workflows.advance("1h")
    assert parent.result() == 8


@pytest.mark.parametrize(
    ("own", "parents", "expected"),
    [
        (None, None, None),
        ("1h", None, 3600),
        (None, "2h", 7200),
        ("1h", "2h", 3600),
        ("3h", "2h", 7200),
    ],
)
def test_deadline_is_the_earlier_one(
    workflows: WorkflowTester,
    own: str | None,
    parents: str | None,
    expected: int | None,
) -> None:
    options = {} if own is None else {"timeout": own}
    parent, child = begin(
        workflows, waits_for.options(timeout=parents), "sleeping", options, "x"
    )
    if expected is None:
        assert child.deadline_at is None
    else:
        assert child.deadline_at is not None
        left = (child.deadline_at - parent.created_at).total_seconds()
        assert left == pytest.approx(expected, abs=1)


# -- keys ------------------------------------------------------------------------------


@workflow
async def one_key(key: str, policy: str) -> Any:
    keyed = sleeping.options(key=key, on_conflict=policy)
    first, second = start_child(keyed, "first"), start_child(keyed, "second")
    found = []
    for handle in (first, second):
        try:
            found.append(await handle)
        except ChildWorkflowError as error:
            found.append(type(error.cause).__name__)
    return [*found, first.run_id == second.run_id]


def test_same_key_gives_the_same_child(workflows: WorkflowTester) -> None:
    assert workflows.run(one_key, "k", "return_existing") == ["first", "first", True]
    assert Run.objects.filter(workflow=sleeping.name).count() == 1
    parent = Run.objects.get(workflow=one_key.name)
    workflows.assert_replays(parent)


def test_same_key_later_gives_the_result_again(workflows: WorkflowTester) -> None:
    @workflow
    async def again() -> Any:
        keyed = sleeping.options(key="k")
        first = await start_child(keyed, "once")
        handle = start_child(keyed, "twice")
        return [first, await handle]

    assert workflows.run(again) == ["once", "once"]
    assert Run.objects.filter(workflow=sleeping.name).count() == 1


def test_rejected_key(workflows: WorkflowTester) -> None:
    found = workflows.run(one_key, "k", "reject")
    assert found == ["first", DuplicateRunError.__name__, False]
    assert Run.objects.filter(workflow=sleeping.name).count() == 1
    workflows.assert_replays(Run.objects.get(workflow=one_key.name))


def test_key_of_another_run_is_not_this_runs_child(workflows: WorkflowTester) -> None:
    holder = start(sleeping.options(key="k"), "theirs")
    found = workflows.run(waits_for, "sleeping", {"key": "k"}, "mine")
    assert found[0] == DuplicateRunError.__name__
    assert holder.pk in found[1]


def test_closed_holder_gives_the_key_up(workflows: WorkflowTester) -> None:
    workflows.run(sleeping.options(key="k"), "theirs")
    options = {"key": "k", "on_conflict": "restart_closed"}
    assert workflows.run(waits_for, "sleeping", options, "mine") == "mine"


def test_open_holder_keeps_the_key_on_restart_closed(workflows: WorkflowTester) -> None:
    start(sleeping.options(key="k"), "theirs")
    options = {"key": "k", "on_conflict": "restart_closed"}
    found = workflows.run(waits_for, "sleeping", options, "mine")
    assert found[0] == DuplicateRunError.__name__


def test_holder_is_terminated_for_the_child(workflows: WorkflowTester) -> None:
    holder = start(sleeping.options(key="k"), "theirs")
    workflows.run_until_idle()
    options = {"key": "k", "on_conflict": "terminate_existing"}
    parent, child = begin(workflows, waits_for, "sleeping", options, "mine")
    holder.refresh_from_db()
    assert holder.status == "terminated"
    assert child.key == "k"
    workflows.advance("1d")
    assert parent.result() == "mine"


# -- when the parent closes ------------------------------------------------------------


@workflow
async def holder_of(policy: str, child_begins: bool) -> Any:
    delay = None if child_begins else "1h"
    child = stubborn.options(parent_close_policy=policy, delay=delay)
    start_child(child, 5)
    hook = create_hook(token="end")
    if await hook == "fail":
        raise RuntimeError("as told")
    return "done"


def close(workflows: WorkflowTester, parent: Run, how: str) -> None:
    if how in ("complete", "fail"):
        resume_hook("end", how)
    elif how == "cancel":
        parent.cancel()
    elif how == "terminate":
        parent.terminate()
    elif how == "time out":
        workflows.advance("10m")
    workflows.run_until_idle()
    parent.refresh_from_db()


CLOSED = {
    "time out": "timed_out",
    "complete": "completed",
    "fail": "failed",
    "cancel": "cancelled",
    "terminate": "terminated",
}


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not begun"])
@pytest.mark.parametrize("how", CLOSED)
@pytest.mark.parametrize("policy", ["cancel", "terminate", "abandon"])
def test_parent_close_policy(
    workflows: WorkflowTester, policy: str, how: str, begun: bool
) -> None:
    timeout = "10m" if how == "time out" else None
    parent, child = begin(workflows, holder_of.options(timeout=timeout), policy, begun)
    close(workflows, parent, how)
    assert parent.status == CLOSED[how]
    child.refresh_from_db()
    types = [event.type for event in child.history()]
    if policy == "abandon":
        assert not child.is_closed
        workflows.advance("2d")
        assert child.result() == -1
    elif how == "time out":
        # It has no later deadline than its parent.
        assert child.status == "timed_out"
        assert child.deadline_at == parent.deadline_at
    elif policy == "terminate":
        assert child.status == "terminated"
        assert types[-1] == "run_terminated"
        assert "cancel_requested" not in types
    elif begun:
        assert child.result() == 5  # it saw CancelledError and cleaned up
        assert "step_completed" in types
    else:
        assert child.status == "cancelled"
        assert "run_started" not in types
    assert not Event.objects.filter(run=child, seq=None).exists()


misbehaves: list[bool] = []


@workflow
async def standing_still(policy: str) -> None:
    await double(1)
    if misbehaves:
        open("/dev/null").close()
    try:
        await sleep("1d")
    finally:
        await double(2)


@workflow
async def mother_of_one(policy: str) -> Any:
    start_child(standing_still.options(parent_close_policy=policy), policy)
    return await create_hook(token="end")


@pytest.mark.parametrize("policy", ["cancel", "terminate"])
@pytest.mark.parametrize("state", ["paused", "blocked"])
def test_policy_reaches_a_child_that_stands_still(
    workflows: WorkflowTester, policy: str, state: str
) -> None:
    misbehaves[:] = [True] * (state == "blocked")
    parent, child = begin(workflows, mother_of_one, policy)
    if state == "paused":
        child.pause()
    workflows.run_until_idle()
    child.refresh_from_db()
    assert (child.status == "paused") == (state == "paused")
    assert bool(child.blocked_reason) == (state == "blocked")
    close(workflows, parent, "complete")
    misbehaves.clear()
    workflows.advance("1h")  # a blocked run keeps the request until it can go on
    child.refresh_from_db()
    assert child.status == ("cancelled" if policy == "cancel" else "terminated")
    steps = [event.type for event in child.history()].count("step_completed")
    assert steps == (2 if policy == "cancel" else 1)
    assert not Event.objects.filter(seq=None).exists()


def test_policy_goes_down_the_generations(workflows: WorkflowTester) -> None:
    @workflow
    async def generations(depth: int) -> Any:
        if depth:
            return await start_child(generations, depth - 1)
        return await start_child(sleeping, "leaf")

    run = workflows.start(generations, 3)
    workflows.run_until_idle()
    assert Run.objects.open().count() == 5
    run.terminate()
    workflows.run_until_idle()
    assert Run.objects.open().count() == 0
    assert Run.objects.filter(status="cancelled").count() == 4


def test_end_of_a_child_whose_parent_has_closed_is_told_to_nobody(
    workflows: WorkflowTester,
) -> None:
    parent, child = begin(workflows, holder_of, "abandon", True)
    close(workflows, parent, "complete")
    workflows.advance("2d")
    child.refresh_from_db()
    assert child.status == "completed"
    assert not Event.objects.filter(run=parent, seq=None).exists()


# -- started by a step -----------------------------------------------------------------


@step
def starts(number: int, times: int, fail_once: bool) -> list[str]:
    runs = [start(doubling, number) for _ in range(times)]
    runs += start_many(doubling, [(number,), (number + 1,)])
    if fail_once and get_step_metadata().attempt == 1:
        raise ConnectionError("after it has started them")
    return [run.pk for run in runs]


@workflow
async def by_a_step(fail_once: bool) -> list[str]:
    return await starts(4, 2, fail_once)


@pytest.mark.parametrize("fail_once", [False, True])
def test_children_started_by_a_step(workflows: WorkflowTester, fail_once: bool) -> None:
    ids = workflows.run(by_a_step, fail_once)
    workflows.run_until_idle()
    parent = Run.objects.get(workflow=by_a_step.name)
    children = Run.objects.filter(parent=parent)
    assert sorted(ids) == sorted(child.pk for child in children)
    assert len(set(ids)) == 4
    for child in children:
        assert child.root == parent
        assert child.parent_close_policy == "abandon"
        assert child.parent_call == ""
        assert child.status == "completed"


def test_grandchild_started_by_a_step_has_the_same_root(
    workflows: WorkflowTester,
) -> None:
    @workflow
    async def grandparent() -> Any:
        return await start_child(by_a_step, False)

    ids = workflows.run(grandparent)
    root = Run.objects.get(workflow=grandparent.name)
    assert {get_run(run_id).root_id for run_id in ids} == {root.pk}


def test_key_of_a_start_in_a_step_is_the_key(workflows: WorkflowTester) -> None:
    existing = start(doubling.options(key="k"), 1)

    @step
    def starts_keyed() -> str:
        return str(start(doubling.options(key="k"), 1).pk)

    @workflow
    async def parent() -> str:
        return await starts_keyed()

    assert workflows.run(parent) == existing.pk
    assert existing.parent_id is None


def test_start_outside_of_steps_has_no_parent(workflows: WorkflowTester) -> None:
    run = start(doubling, 1)
    run.refresh_from_db()
    assert (run.parent_id, run.root_id) == (None, None)
    assert start(doubling, 1).pk != run.pk


# -- when the parent is retried --------------------------------------------------------


@step(max_retries=0)
def fails_until_told(name: str) -> str:
    if not Run.objects.filter(workflow="allowed").exists():
        raise ConnectionError(name)
    return f"{name} went well"


def allow() -> None:
    Run.objects.create(
        workflow="allowed", status="completed", created_at=timezone.now()
    )


@workflow
async def fragile(name: str) -> str:
    return await fails_until_told(name)


@workflow
async def family() -> list[Any]:
    whole = start_child(doubling, 21)
    slow = start_child(sleeping, "slow")
    return [await whole, await start_child(fragile, "child"), await slow]


def test_retried_parent_has_its_failed_child_retried(workflows: WorkflowTester) -> None:
    run = workflows.start(family)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    children = {child.workflow: child for child in run.children.all()}
    assert children[fragile.name].status == "failed"
    assert children[sleeping.name].status == "cancelled"  # by its parent's failure
    allow()
    run.retry()
    workflows.advance("2d")
    run.refresh_from_db()
    assert run.status == "completed", run.error
    assert run.result() == [42, "child went well", "slow"]
    assert run.children.count() == 3
    assert {child.status for child in run.children.all()} == {"completed"}
    assert {child.attempt for child in run.children.all()} == {1, 2}
    workflows.assert_replays(run)


def test_children_of_what_is_void_are_told_to_nobody(workflows: WorkflowTester) -> None:
    @workflow
    async def goes_on_too_far() -> Any:
        handle = start_child(fragile, "child")
        try:
            await handle
        except ChildWorkflowError:
            start_child(stubborn.options(parent_close_policy="abandon"), 1)
            keyed = start_child(sleeping.options(key="k"), "void")
            await sleep("1h")
            keyed.cancel()
            raise
        return await start_child(sleeping.options(key="k"), "once more")

    run = workflows.start(goes_on_too_far)
    workflows.advance("2h")
    run.refresh_from_db()
    assert run.status == "failed"
    allow()
    run.retry()
    workflows.advance("3d")
    assert run.result() == "once more"
    workflows.assert_replays(run)


def test_child_that_was_terminated_fails_its_parent_again(
    workflows: WorkflowTester,
) -> None:
    @workflow
    async def careless() -> Any:
        return await start_child(sleeping, "x")

    run, child = begin(workflows, careless)
    child.terminate()
    workflows.run_until_idle()
    run.retry()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.attempt == 2


@workflow
async def copes() -> Any:
    try:
        await start_child(fragile, "child")
    except ChildWorkflowError:
        return await create_hook(token="copes")


def test_second_end_of_a_retried_child_is_not_delivered(
    workflows: WorkflowTester,
) -> None:
    run = workflows.start(copes)
    workflows.run_until_idle()
    (child,) = run.children.all()
    assert child.status == "failed"
    allow()
    child.retry()
    workflows.run_until_idle()
    assert child.result() == "child went well"
    resume_hook("copes", "by itself")
    workflows.run_until_idle()
    assert run.result() == "by itself"
    ends = [
        e.type for e in run.history() if e.type in ("child_failed", "child_completed")
    ]
    assert ends == ["child_failed"]


def test_child_retried_before_its_parent(workflows: WorkflowTester) -> None:
    run = workflows.start(family)
    workflows.run_until_idle()
    child = run.children.get(workflow=fragile.name)
    allow()
    child.retry()
    workflows.run_until_idle()
    assert child.result() == "child went well"
    run.retry()
    workflows.advance("2d")
    assert run.result() == [42, "child went well", "slow"]
    child.refresh_from_db()
    assert child.attempt == 2


def test_child_sends_to_a_hook_of_its_parent(workflows: WorkflowTester) -> None:
    @step
    def send(token: str) -> None:
        resume_hook(token, "from below")

    @workflow
    async def below(token: str) -> None:
        await send(token)

    @workflow
    async def above() -> Any:
        hook = create_hook()
        start_child(below, hook.token)
        return await hook

    assert workflows.run(above) == "from below"


def test_child_that_ended_while_its_parent_was_closed(
    workflows: WorkflowTester,
) -> None:
    @workflow
    async def left_alone() -> Any:
        child = sleeping.options(parent_close_policy="abandon")
        handle = start_child(child, "by itself")
        return [await fails_until_told("own step"), await handle]

    run = workflows.start(left_alone)
    workflows.run_until_idle()
    workflows.advance("2d")
    (child,) = run.children.all()
    assert child.status == "completed"
    allow()
    run.retry()
    workflows.run_until_idle()
    assert run.result() == ["own step went well", "by itself"]


# -- limits ----------------------------------------------------------------------------


@workflow
async def one_at_a_time(names: list[str]) -> list[str]:
    limited = sleeping.options(max_concurrency=1)
    return await asyncio.gather(*(start_child(limited, name) for name in names))


def test_children_with_a_limit(workflows: WorkflowTester) -> None:
    run = workflows.start(one_at_a_time, ["a", "b", "c"])
    workflows.run_until_idle()
    begun = run.children.filter(status="running")
    assert begun.count() == 1
    workflows.advance("1d")
    assert begun.count() == 1
    workflows.advance("2d")
    assert run.result() == ["a", "b", "c"]


def test_queued_child_is_cancelled_with_its_parent(workflows: WorkflowTester) -> None:
    run = workflows.start(one_at_a_time, ["a", "b"])
    workflows.run_until_idle()
    run.terminate()
    workflows.run_until_idle()
    assert {child.status for child in run.children.all()} == {"cancelled"}
    began = [
        any(event.type == "run_started" for event in child.history())
        for child in run.children.all()
    ]
    assert sorted(began) == [False, True]
