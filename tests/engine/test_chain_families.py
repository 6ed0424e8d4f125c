"""Children that continue as new, and the children of parents that do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows import (
    ChildWorkflowError,
    continue_as_new,
    create_hook,
    resume_hook,
    sleep,
    start,
    start_child,
    workflow,
)
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester
from tests.engine.chains import add, allowance, chain, count_down, resting, types


@workflow
async def waiting_for_rest(naps: int) -> str:
    return f"child {await start_child(resting, naps)}"


@workflow
async def failing(left: int) -> None:
    await add(1, 1)
    if left:
        continue_as_new(left - 1)
    raise ValueError("at last")


@workflow
async def ticking(ticks: int) -> str:
    """Goes on in a new run every hour."""
    try:
        await sleep("1h")
    except asyncio.CancelledError:
        await add(ticks, 0)
        raise
    continue_as_new(ticks + 1)


def children(run: Run) -> list[Run]:
    return list(run.children.order_by("created_at", "id"))


def test_parent_is_told_once_at_the_end_of_the_chain(
    workflows: WorkflowTester,
) -> None:
    run = start(waiting_for_rest, 3)
    workflows.advance("2h")
    assert not {"child_completed", "child_failed"} & set(types(run))
    workflows.advance("1h")
    assert run.result() == "child rested"
    assert types(run).count("child_completed") == 1
    first, *rest = children(run)
    assert chain(first) == [first, *rest]
    assert len(rest) == 2
    for child in children(run):
        assert child.root_id == run.pk
        assert child.parent_call == first.parent_call
        workflows.assert_replays(child)
    workflows.assert_replays(run)


def test_failure_of_the_last_run_is_the_childs(workflows: WorkflowTester) -> None:
    @workflow
    async def parent() -> str:
        try:
            await start_child(failing, 2)
        except ChildWorkflowError as error:
            return f"{type(error.cause).__name__}: {error.cause}"
        return "no error"

    assert workflows.run(parent) == "ValueError: at last"


def test_cancelling_the_handle_reaches_the_current_run(
    workflows: WorkflowTester,
) -> None:
    @workflow
    async def parent() -> str:
        handle = start_child(ticking, 0)
        await sleep("150m")
        handle.cancel()
        try:
            await handle
        except ChildWorkflowError as error:
            return str(error)
        return "completed"

    run = start(parent)
    workflows.advance("150m")
    assert "was cancelled" in run.result()
    links = children(run)
    assert [link.status for link in links] == [
        "continued_as_new",
        "continued_as_new",
        "cancelled",
    ]
    assert "step_completed" in types(links[-1])  # its clean-up


@pytest.mark.parametrize(
    ("policy", "status"),
    [("cancel", "cancelled"), ("terminate", "terminated"), ("abandon", "running")],
)
def test_close_policy_means_the_current_run(
    workflows: WorkflowTester, policy: str, status: str
) -> None:
    @workflow
    async def parent() -> None:
        start_child(ticking.options(parent_close_policy=policy), 0)
        await sleep("90m")

    run = start(parent)
    workflows.advance("2h")
    statuses = [link.status for link in children(run)]
    assert statuses[0] == "continued_as_new"
    if policy == "abandon":
        assert statuses[1:] == ["continued_as_new", "running"]
    else:
        assert statuses[1:] == [status]


@workflow
async def employer(rounds: int, policy: str) -> str:
    """Each of its runs starts a child, and waits for none."""
    start_child(ticking.options(parent_close_policy=policy), 0)
    await create_hook(f"work-{rounds}")
    if rounds:
        continue_as_new(rounds - 1, policy)
    return "closed"


@pytest.mark.parametrize(
    ("policy", "status"), [("cancel", "cancelled"), ("terminate", "terminated")]
)
@pytest.mark.parametrize("way", ["returns", "terminated"])
def test_children_of_a_parent_that_continues_stay_until_the_chain_ends(
    workflows: WorkflowTester, policy: str, status: str, way: str
) -> None:
    run = start(employer, 2, policy)
    workflows.run_until_idle()
    for rounds in (2, 1):
        resume_hook(f"work-{rounds}")
        workflows.run_until_idle()
    links = chain(run)
    assert len(links) == 3
    workflows.advance("1h")
    at_work = Run.objects.for_workflow(ticking).open()
    assert at_work.count() == 3
    if way == "returns":
        resume_hook("work-0")
        workflows.run_until_idle()
        assert run.result() == "closed"
    else:
        links[-1].terminate()
        workflows.run_until_idle()
    assert at_work.count() == 0
    ended = Run.objects.for_workflow(ticking).exclude(status="continued_as_new")
    assert {child.status for child in ended} == {status}
    assert ended.count() == 3


def test_end_of_a_child_of_an_earlier_run_is_dropped(
    workflows: WorkflowTester,
) -> None:
    @workflow
    async def parent(again: bool) -> str:
        if again:
            start_child(resting.options(parent_close_policy="abandon"), 1)
            start_child(count_down, 0)
            await sleep("30m")
            continue_as_new(False)
        await sleep("1d")
        return "done"

    run = start(parent, True)
    workflows.advance("2d")
    assert run.result() == "done"
    second = chain(run)[1]
    assert not [kind for kind in types(second) if kind.startswith("child")]
    assert not Event.objects.filter(seq=None).exists()


def test_deadline_of_the_parent_holds_for_successors(
    workflows: WorkflowTester,
) -> None:
    @workflow
    async def parent() -> Any:
        return await start_child(ticking.options(timeout="90m"), 0)

    run = parent.options(timeout="2h").start()
    workflows.advance("1h")
    first, second = children(run)
    assert allowance(first).total_seconds() == 5400
    run.refresh_from_db()
    assert second.deadline_at == run.deadline_at


def test_key_of_a_child_is_that_of_its_chain(workflows: WorkflowTester) -> None:
    @workflow
    async def parent() -> list[str]:
        child = resting.options(key="only one")
        first = start_child(child, 3)
        await sleep("90m")
        again = start_child(child, 3)
        return [await first, await again]

    run = start(parent)
    workflows.advance("3h")
    assert run.result() == ["rested", "rested"]
    assert len(children(run)) == 3
