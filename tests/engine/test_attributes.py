"""Attributes that workflow code sets, and how runs are found by them."""

from __future__ import annotations

from typing import Any

import pytest

from django_workflows import (
    continue_as_new,
    create_hook,
    get_step_metadata,
    get_workflow_metadata,
    set_attributes,
    sleep,
    step,
    workflow,
)
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester

pytestmark = pytest.mark.django_db


@step
def seen_by_a_step() -> dict[str, Any]:
    assert get_step_metadata().attempt == 1
    return get_workflow_metadata().attributes


@workflow
async def order(customer: int) -> list[Any]:
    started_with = get_workflow_metadata().attributes
    set_attributes(customer=customer, stage="new")
    in_a_step = await seen_by_a_step()
    await sleep("1h")
    set_attributes(stage="waiting", b=3, a=None)
    with create_hook(token=f"order {customer}") as hook:
        set_attributes(hooked=True)
        await sleep("1h")
        assert await hook.get_conflict() is None
    set_attributes(stage=None)
    return [started_with, in_a_step, get_workflow_metadata().attributes]


def found(**filters: Any) -> list[Run]:
    return list(
        Run.objects.filter(**{f"attributes__{k}": v for k, v in filters.items()})
    )


def test_runs_are_found_by_what_their_code_has_set(workflows: WorkflowTester) -> None:
    start = {"a": 1, "b": 2, "kept": [1.5, None, "ä"]}
    run = workflows.start(order.options(attributes=start), 7)
    other = workflows.start(order, 8)
    workflows.run_until_idle()
    assert found(customer=7) == [run]
    assert found(customer=8) == [other]
    assert found(customer=7, stage="new", a=1, b=2) == [run]
    assert found(stage="waiting") == []
    workflows.advance("1h")
    run.refresh_from_db()
    assert run.attributes == {
        "b": 3,
        "kept": [1.5, None, "ä"],
        "customer": 7,
        "stage": "waiting",
        "hooked": True,
    }
    workflows.crash()
    workflows.advance("1h")
    last = {"b": 3, "kept": [1.5, None, "ä"], "customer": 7, "hooked": True}
    assert run.result() == [start, {**start, "customer": 7, "stage": "new"}, last]
    run.refresh_from_db()
    assert run.attributes == last
    events = [e.data["attributes"] for e in run.history() if e.type == "attributes_set"]
    assert events[1] == {"stage": "waiting", "b": 3, "a": None}
    workflows.assert_replays(run)
    assert other.result()[2] == {"customer": 8, "b": 3, "hooked": True}


def test_attributes_are_stored_with_the_end_of_the_run(
    workflows: WorkflowTester,
) -> None:
    run = workflows.start(at_the_end)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert (run.status, run.attributes) == ("failed", {"outcome": "sold out"})


@workflow
async def at_the_end() -> None:
    set_attributes(outcome="sold out")
    raise LookupError


@step(max_retries=0)
def fail_once() -> str:
    failures.append(1)
    if len(failures) == 1:
        raise LookupError
    return "now"


failures: list[int] = []


@workflow
async def retried() -> dict[str, Any]:
    set_attributes(stage="before", kept=1)
    try:
        await fail_once()
    except LookupError:
        set_attributes(stage="failed", seen="never again")
        raise
    return get_workflow_metadata().attributes


def test_attributes_set_in_what_is_void_by_now_are_gone(
    workflows: WorkflowTester,
) -> None:
    failures.clear()
    run = workflows.start(retried)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.attributes == {"stage": "failed", "kept": 1, "seen": "never again"}
    run.retry()
    workflows.run_until_idle()
    assert run.result() == {"stage": "before", "kept": 1}
    run.refresh_from_db()
    assert run.attributes == {"stage": "before", "kept": 1}
    workflows.assert_replays(run)


@workflow
async def goes_on(left: int) -> dict[str, Any]:
    set_attributes(**{f"round{left}": True}, a=None, left=left)
    if left:
        continue_as_new(left - 1)
    return get_workflow_metadata().attributes


def test_successors_have_the_attributes_of_the_runs_before(
    workflows: WorkflowTester,
) -> None:
    run = workflows.start(goes_on.options(attributes={"a": 1, "b": 2}), 2)
    workflows.run_until_idle()
    last = {"b": 2, "round2": True, "round1": True, "round0": True, "left": 0}
    assert run.result() == last
    for found in Run.objects.all():
        workflows.assert_replays(found)
    assert Run.objects.get(attributes__left=0).attributes == last


@workflow
async def staged() -> dict[str, Any]:
    set_attributes(stage="first")
    await seen_by_a_step()
    set_attributes(stage="second", late=True)
    await seen_by_a_step()
    return get_workflow_metadata().attributes


def test_fork_has_the_attributes_of_its_history_only(
    workflows: WorkflowTester,
) -> None:
    run = workflows.start(staged.options(attributes={"a": 1}))
    workflows.run_until_idle()
    assert run.result() == {"a": 1, "stage": "second", "late": True}
    first, *_ = [e for e in run.history() if e.type == "step_created"]
    fork = run.fork(from_step=first.correlation_id)
    workflows.run_until_idle()
    assert fork.result() == {"a": 1, "stage": "second", "late": True}
    again = run.replay()
    again.refresh_from_db()
    assert again.attributes == {"a": 1}
