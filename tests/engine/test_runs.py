"""The Run model: what it says about a run, and its querysets."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_workflows import (
    WorkflowRunNotFoundError,
    create_hook,
    get_run,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester


@step
def double(value: Any) -> Any:
    return value * 2


@step(max_retries=0)
def broken() -> None:
    raise ValueError("no")


@workflow
async def doubling(value: Any, *, times: int = 1) -> Any:
    for _ in range(times):
        value = await double(value)
    return value


@workflow
async def failing() -> None:
    await broken()


@workflow
async def hooked() -> Any:
    return await create_hook(token="t", metadata={"for": "me"})


@workflow
async def sleeping() -> None:
    await sleep("1d")


def test_args_and_kwargs_are_decoded(workflows: WorkflowTester) -> None:
    run = start(doubling, (1, {2}), times=3)
    assert run.args == ((1, {2}),)
    assert run.kwargs == {"times": 3}


def test_history_is_in_order_and_without_gaps(workflows: WorkflowTester) -> None:
    run = start(doubling, 1, times=2)
    workflows.run_until_idle()
    history = run.history()
    assert [event.type for event in history] == [
        "run_created",
        "run_started",
        "step_created",
        "step_started",
        "step_completed",
        "step_created",
        "step_started",
        "step_completed",
        "run_completed",
    ]
    assert [event.seq for event in history] == list(range(1, 10))
    times = [event.created_at for event in history]
    assert times == sorted(times)
    assert history == async_to_sync(run.ahistory)()
    assert not Event.objects.filter(seq__isnull=True).exists()


def test_data_of_events_is_decoded(workflows: WorkflowTester) -> None:
    run = start(doubling, "ab")
    workflows.run_until_idle()
    data = {event.type: event.data for event in run.history()}
    assert data["run_created"]["args"] == ("ab",)
    assert data["run_created"]["kwargs"] == {}
    assert data["step_created"]["name"] == double.name
    assert data["step_created"]["args"] == ("ab",)
    assert data["step_started"]["attempt"] == 1
    assert data["step_completed"]["output"] == "abab"
    assert data["run_completed"]["output"] == "abab"


def test_data_of_a_failure_holds_the_exception(workflows: WorkflowTester) -> None:
    run = start(failing)
    workflows.run_until_idle()
    data = {event.type: event.data for event in run.history()}
    for kind in ("step_failed", "run_failed"):
        assert isinstance(data[kind]["error"], ValueError)


def test_data_of_hook_events(workflows: WorkflowTester) -> None:
    from django_workflows import resume_hook

    run = start(hooked)
    workflows.run_until_idle()
    resume_hook("t", [1, 2])
    workflows.run_until_idle()
    data = {event.type: event.data for event in run.history()}
    assert data["hook_created"]["metadata"] == {"for": "me"}
    assert data["hook_received"]["payload"] == [1, 2]


def test_events_of_one_step_share_its_id(workflows: WorkflowTester) -> None:
    run = start(doubling, 1)
    workflows.run_until_idle()
    ids = {e.correlation_id for e in run.history() if e.type.startswith("step_")}
    assert len(ids) == 1
    assert ids.pop().startswith("step_")


def test_querysets(workflows: WorkflowTester) -> None:
    done = start(doubling, 1)
    failed = start(failing)
    open_ = start(hooked)
    workflows.run_until_idle()
    pending = doubling.options(delay="1h").start(1)
    assert set(Run.objects.open()) == {open_, pending}
    assert set(Run.objects.closed()) == {done, failed}
    assert set(Run.objects.failed()) == {failed}
    assert set(Run.objects.for_workflow(doubling)) == {done, pending}
    assert set(Run.objects.for_workflow(doubling.name).open()) == {pending}


@pytest.mark.parametrize("name", ["\0", "a\0b", "\ud800", "ä" * 5000])
def test_runs_of_a_name_that_no_workflow_can_have(
    workflows: WorkflowTester, name: str
) -> None:
    start(doubling, 1)
    assert list(Run.objects.for_workflow(name)) == []
    assert Run.objects.open().for_workflow(name).failed().count() == 0
    with pytest.raises(WorkflowRunNotFoundError):
        get_run(name)


@pytest.mark.parametrize("given", [None, 7, b"x"])
def test_what_is_neither_a_name_nor_an_id(
    workflows: WorkflowTester, given: Any
) -> None:
    with pytest.raises(TypeError, match="the name of a workflow is a text, not"):
        Run.objects.for_workflow(given)
    with pytest.raises(TypeError, match="the id of a run is a text, not"):
        get_run(given)


def test_is_waiting_tells_suspended_runs(workflows: WorkflowTester) -> None:
    on_hook, asleep = start(hooked), start(sleeping)
    done = start(doubling, 1)
    workflows.run_until_idle()
    for run, expected in ((on_hook, True), (asleep, True), (done, False)):
        run.refresh_from_db()
        assert run.is_waiting is expected


def test_wake_at_is_when_a_sleeping_run_goes_on(workflows: WorkflowTester) -> None:
    from datetime import timedelta

    asleep, on_hook = start(sleeping), start(hooked)
    workflows.run_until_idle()
    asleep.refresh_from_db()
    on_hook.refresh_from_db()
    assert asleep.wake_at == workflows.now + timedelta(days=1)
    assert on_hook.wake_at is None


def test_url_comes_from_the_base_url(workflows: WorkflowTester, settings: Any) -> None:
    settings.WORKFLOWS = {"BASE_URL": "https://example.org/"}
    run = start(doubling, 1)
    assert run.url.startswith("https://example.org/")
    assert run.pk in run.url


def test_no_row_of_the_engine_is_left_owned(workflows: WorkflowTester) -> None:
    start(doubling, 1)
    start(hooked)
    workflows.run_until_idle()
    assert not Run.objects.exclude(owner="").exists()


def test_deleting_a_run_deletes_its_rows(workflows: WorkflowTester) -> None:
    run = start(doubling, 1)
    workflows.run_until_idle()
    run.delete()
    assert not Event.objects.exists()
