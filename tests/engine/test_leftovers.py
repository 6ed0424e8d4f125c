"""What is still open when something beside it has failed, won, or ended the run."""

from __future__ import annotations

import asyncio
import gc
from typing import Any
from unittest.mock import patch

import pytest

from django_workflows import (
    create_hook,
    first_success,
    race,
    resume_hook,
    sleep,
    start,
    start_child,
    step,
    workflow,
)
from django_workflows.models import Event, Hook, Run, Step
from django_workflows.testing import WorkflowTester

log: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    log.clear()


@step
def note(text: str) -> str:
    log.append(text)
    return text


@step(max_retries=0)
def failing() -> None:
    raise ValueError("no luck")


@step(queue="nobody serves this")
def on_offer() -> str:
    log.append("offered step ran")
    return "ran"


@step(max_retries=100)
def between_attempts() -> None:
    raise LookupError("again")


@workflow
async def child() -> None:
    await sleep("1d")


async def cleaning_up(name: str) -> None:
    try:
        await sleep("2d")
    except asyncio.CancelledError:
        await note(f"{name} cleaned up")
        raise


async def next_of(hook: Any) -> Any:
    return await hook


@workflow
async def with_everything_open(how: str) -> str:
    hook = create_hook(token="t")
    await sleep("1s")
    parts = [
        on_offer(),
        between_attempts(),
        sleep("1d"),
        next_of(hook),
        start_child(child),
        cleaning_up("sibling"),
        failing(),
    ]
    try:
        if how == "gather":
            await asyncio.gather(*parts)
        elif how == "race":
            await race(*parts)
        else:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(next_of(part))
    except* ValueError:
        await note("caught")
    await sleep("1h")
    return await note("after")


def run_until_caught(workflows: WorkflowTester, how: str) -> Run:
    run = start(with_everything_open, how)
    with patch.object(workflows, "_queues", lambda: ("default",)):
        workflows.advance("1s")
    run.refresh_from_db()
    assert run.status == "running"
    assert "caught" in log
    return run


def ends_of(run: Run) -> list[str]:
    """What the run has cancelled, in order."""
    types = [event.type for event in run.history()]
    asked = ("step_cancelled", "wait_cancelled", "child_cancel_requested")
    return [kind for kind in types if kind in asked]


def statuses(run: Run) -> dict[str, str]:
    steps = {row.name.rsplit(".", 1)[1]: row.status for row in run.steps.all()}
    return {**steps, "child": run.children.get().status}


def check_that_nothing_is_left(run: Run) -> None:
    assert not Run.objects.open().exists()
    assert not Step.objects.filter(status__in=["pending", "running"]).exists()
    assert not Hook.objects.exists()
    assert not Event.objects.filter(seq=None).exists()


def test_gather_leaves_the_others_open_until_the_end_of_the_run(
    workflows: WorkflowTester,
) -> None:
    run = run_until_caught(workflows, "gather")
    assert ends_of(run) == []
    with patch.object(workflows, "_queues", lambda: ("default",)):
        assert statuses(run)["on_offer"] == "pending"
        assert statuses(run)["child"] == "running"
        workflows.crash()
        workflows.advance("1h")
    assert run.result() == "after"
    assert log == ["caught", "after"]
    check_that_nothing_is_left(run)
    found = statuses(run)
    assert (found["on_offer"], found["child"]) == ("cancelled", "cancelled")
    workflows.assert_replays(run)
    workflows.advance("3d")
    assert log == ["caught", "after"]


@pytest.mark.parametrize("how", ["race", "group"])
def test_race_and_group_cancel_the_others_at_once(
    workflows: WorkflowTester, how: str
) -> None:
    run = run_until_caught(workflows, how)
    expected = ["step_cancelled"] * 2 + ["wait_cancelled", "child_cancel_requested"]
    assert ends_of(run) == [*expected, "wait_cancelled"]
    assert sorted(log) == ["caught", "sibling cleaned up"]
    assert statuses(run)["on_offer"] == "cancelled"
    assert statuses(run)["child"] == "cancelled"
    assert Hook.objects.count() == 1  # only the wait was cancelled
    workflows.crash()
    workflows.advance("1h")
    assert run.result() == "after"
    check_that_nothing_is_left(run)
    workflows.assert_replays(run)
    assert sorted(log) == ["after", "caught", "sibling cleaned up"]


@workflow
async def failing_beside_open_ones() -> None:
    create_hook(token="t")
    start_child(child)
    await asyncio.gather(on_offer(), sleep("1d"), cleaning_up("sibling"), failing())


def test_an_error_that_ends_the_run_leaves_nothing_open(
    workflows: WorkflowTester,
) -> None:
    run = start(failing_beside_open_ones)
    with patch.object(workflows, "_queues", lambda: ("default",)):
        workflows.run_until_idle()
    run.refresh_from_db()
    assert (run.status, run.wake_at) == ("failed", None)
    assert repr(run.error) == "ValueError('no luck')"
    check_that_nothing_is_left(run)
    assert statuses(run)["on_offer"] == "cancelled"
    workflows.advance("3d")
    assert log == []  # no step begins after the end of its run
    workflows.assert_replays(run)


async def napping(hours: int) -> int:
    await sleep(hours * 3600)
    return hours


@workflow
async def first_of_two() -> list[Any]:
    tasks = [asyncio.create_task(napping(hours)) for hours in (2, 1)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    winners = [task.result() for task in done]
    await sleep("5h")
    return [winners, [task.result() for task in pending]]


def test_the_winner_stays_the_winner_after_the_other_has_finished_too(
    workflows: WorkflowTester,
) -> None:
    run = start(first_of_two)
    for _ in range(7):
        workflows.advance("1h")
        workflows.crash()
    assert run.result() == [[1], [2]]
    workflows.assert_replays(run)


@workflow
async def payloads_against_naps(hook_first: bool) -> list[str]:
    found: list[str] = []
    with create_hook(token="t") as hook:
        while len(found) < 4:
            waits = [next_of(hook), cleaning_up("nap")]
            winner = await race(*(waits if hook_first else reversed(waits)))
            found.append(await note(winner))
    return found


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("hook_first", [False, True])
def test_a_hook_raced_again_and_again_gives_every_payload(
    workflows: WorkflowTester, hook_first: bool, crash: bool
) -> None:
    run = start(payloads_against_naps, hook_first)
    workflows.run_until_idle()
    for payloads in ("a", "bc", "d"):
        for payload in payloads:
            resume_hook("t", payload)
        if crash:
            workflows.crash()
        workflows.run_until_idle()
    assert run.result() == ["a", "b", "c", "d"]
    types = [event.type for event in run.history()]
    assert types.count("wait_created") == types.count("wait_cancelled") == 4
    workflows.assert_replays(run)


@workflow
async def against_a_gather(first: bool) -> Any:
    both = asyncio.gather(napping(24), napping(48))
    choose = first_success if first else race
    winner = await choose(napping(1), both)
    await sleep("1h")
    return winner


@pytest.mark.parametrize("first", [False, True])
def test_a_gather_that_loses_is_not_logged_as_forgotten(
    workflows: WorkflowTester, first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    run = start(against_a_gather, first)
    workflows.advance("2h")
    assert run.result() == 1
    workflows.assert_replays(run)
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert ends_of(run) == ["wait_cancelled"] * 2
