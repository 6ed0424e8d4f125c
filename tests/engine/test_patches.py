"""Open runs meet new code that asks ``patched()``; workers come and go between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_workflows import (
    FatalError,
    NonDeterminismError,
    continue_as_new,
    create_hook,
    deprecate_patch,
    patched,
    resume_hook,
    sleep,
    start,
    start_child,
    step,
    workflow,
)
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester, check_replay, export_history

log: list[str] = []
Deploy = Callable[[Callable[[], Any]], None]


@step
def pack() -> str:
    log.append("pack")
    return "packed"


@step
def insure() -> str:
    log.append("insure")
    return "insured"


@step
def ship() -> str:
    log.append("ship")
    return "shipped"


async def old() -> list[str]:
    done = [await pack()]
    await sleep("1d")
    return [*done, await ship()]


async def new() -> list[str]:
    done = [await pack()]
    if patched("insurance"):
        done.append(await insure())
    await sleep("1d")
    return [*done, await ship()]


async def later() -> list[str]:
    done = [await pack()]
    deprecate_patch("insurance")
    done.append(await insure())
    await sleep("1d")
    return [*done, await ship()]


async def unguarded() -> list[str]:
    done = [await pack()]
    done.append(await insure())
    await sleep("1d")
    return [*done, await ship()]


code: Callable[[], Any] = old


@workflow
async def order() -> Any:
    return await code()


@pytest.fixture
def deploy(workflows: WorkflowTester) -> Iterator[Deploy]:
    """Return a function that puts other code in place, and a worker that runs it."""

    def put(function: Callable[[], Any]) -> None:
        global code
        code = function
        workflows.crash()

    log.clear()
    put(old)
    yield put
    put(old)


def begin(workflows: WorkflowTester) -> Run:
    run = start(order)
    workflows.run_until_idle()
    return run


def end(workflows: WorkflowTester, run: Run) -> Any:
    workflows.advance("1d")
    return run.result()


def test_old_and_new_runs_side_by_side(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    first = begin(workflows)
    waiting = start(order)  # not begun when the deploy comes
    deploy(new)
    second = begin(workflows)
    for run in (first, waiting, second):
        workflows.assert_replays(run)
    assert end(workflows, first) == ["packed", "shipped"]
    assert waiting.result() == second.result() == ["packed", "insured", "shipped"]
    recorded = [[e.type for e in run.history()] for run in (first, waiting, second)]
    assert [types.count("patch_recorded") for types in recorded] == [0, 1, 1]


def test_the_record_tells_its_change(workflows: WorkflowTester, deploy: Deploy) -> None:
    deploy(new)
    run = begin(workflows)
    (event,) = [e for e in run.history() if e.type == "patch_recorded"]
    assert event.data == {"name": "insurance"}


def test_run_whose_step_ends_after_the_deploy_goes_by_the_change(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    """The step's end is delivered to the new code: the run is not past the point."""
    workflows.mock_step(pack, side_effect=[ValueError("once"), "packed"])
    run = begin(workflows)
    assert [e.type for e in run.history()][-1] == "step_retrying"
    deploy(new)
    workflows.mock_step(pack, return_value="packed")
    workflows.advance("1m")
    assert end(workflows, run) == ["packed", "insured", "shipped"]


def test_run_that_a_worker_with_old_code_still_has_passes_the_point_with_it(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    def deployed_meanwhile() -> str:
        global code
        code = new  # what the next replay meets; the worker's own is in memory
        return "packed"

    workflows.mock_step(pack, side_effect=deployed_meanwhile)
    run = begin(workflows)
    workflows.crash()
    workflows.assert_replays(run)
    assert end(workflows, run) == ["packed", "shipped"]


def test_replays_of_a_patched_run_ask_again_and_get_the_same(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    deploy(new)
    run = begin(workflows)
    for _ in range(3):
        workflows.crash()
        workflows.advance("1h")
    assert end(workflows, run) == ["packed", "insured", "shipped"]
    assert log == ["pack", "insure", "ship"]


def test_the_life_of_a_patch(workflows: WorkflowTester, deploy: Deploy) -> None:
    """patched(), then deprecate_patch() once no old run is open, then neither."""
    deploy(new)
    first = begin(workflows)
    deploy(later)
    second = begin(workflows)
    assert "patch_recorded" not in [e.type for e in second.history()]
    assert end(workflows, first) == ["packed", "insured", "shipped"]
    third = begin(workflows)
    deploy(unguarded)
    assert second.result() == ["packed", "insured", "shipped"]
    assert end(workflows, third) == ["packed", "insured", "shipped"]


def test_deprecated_too_early_parks_the_old_run_alone(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    first = begin(workflows)
    deploy(new)
    second = begin(workflows)
    deploy(later)
    workflows.advance("1d")
    first.refresh_from_db()
    assert first.blocked_reason.startswith("NonDeterminismError")
    assert second.result() == ["packed", "insured", "shipped"]
    deploy(new)
    workflows.advance("1h")
    assert first.result() == ["packed", "shipped"]


def test_taken_out_too_early_parks_the_patched_run_and_names_the_change(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    deploy(new)
    run = begin(workflows)
    deploy(unguarded)
    with pytest.raises(NonDeterminismError, match="insurance"):
        workflows.assert_replays(run)
    workflows.advance("1d")
    run.refresh_from_db()
    assert "patch_recorded insurance (event 6)" in run.blocked_reason
    assert "deprecate_patch('insurance')" in run.blocked_reason
    deploy(later)
    workflows.advance("1h")
    assert run.result() == ["packed", "insured", "shipped"]


async def door_old() -> Any:
    hook = create_hook(token="door")
    await hook.get_conflict()
    return [await hook]


async def door_new() -> Any:
    hook = create_hook(token="door")
    await hook.get_conflict()
    told = await insure() if patched("tell") else ""
    return [told, await hook]


def test_asked_after_the_outcome_of_a_hook(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    deploy(door_new)
    run = begin(workflows)
    workflows.crash()
    resume_hook("door", "open")
    workflows.run_until_idle()
    assert run.result() == ["insured", "open"]
    assert log == ["insure"]
    workflows.assert_replays(run)


def test_payload_delivered_to_old_code_has_passed_the_point(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    async def twice_old() -> Any:
        hook = create_hook(token="door")
        return [await hook, await hook]

    async def twice_new() -> Any:
        hook = create_hook(token="door")
        first = await hook
        asked = patched("between")
        return [first, asked, await hook]

    deploy(twice_old)
    run = begin(workflows)
    resume_hook("door", 1)
    workflows.run_until_idle()
    deploy(twice_new)
    resume_hook("door", 2)
    workflows.run_until_idle()
    assert run.result() == [1, False, 2]


# -- beside other features ------------------------------------------------------------


def test_retry_of_a_failed_step_keeps_to_what_was_passed(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    workflows.mock_step(ship, side_effect=FatalError("no ship"))
    run = begin(workflows)
    workflows.advance("1d")
    run.refresh_from_db()
    assert run.status == "failed"
    deploy(new)
    workflows.mock_step(ship, return_value="shipped")
    run.retry()
    workflows.run_until_idle()
    assert run.result() == ["packed", "shipped"]
    workflows.assert_replays(run)


def test_retry_that_makes_the_point_void_goes_by_the_change(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    """The burst that failed is run again, by the new code, and may record."""

    async def failing() -> Any:
        await pack()
        raise ValueError("a mistake")

    async def failing_later() -> Any:
        await pack()
        assert patched("insurance")
        raise ValueError("another mistake")

    deploy(failing)
    run = begin(workflows)
    for code_of_today in (failing_later, new):
        run.refresh_from_db()
        assert run.status == "failed"
        deploy(code_of_today)
        run.retry()
        workflows.run_until_idle()
    assert end(workflows, run) == ["packed", "insured", "shipped"]
    assert [e.type for e in run.history()].count("patch_recorded") == 2
    workflows.assert_replays(run)


def test_run_that_continues_as_new_is_asked_anew(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    async def endless_old() -> Any:
        await sleep("1d")
        continue_as_new()

    async def endless_new() -> Any:
        if not patched("ends"):
            await sleep("1d")
            continue_as_new()
        return "ended"

    deploy(endless_old)
    run = begin(workflows)
    deploy(endless_new)
    assert end(workflows, run) == "ended"
    for each in Run.objects.all():
        workflows.assert_replays(each)
    assert Run.objects.count() == 2


@workflow
async def child() -> bool:
    await sleep("1h")
    return patched("shared")


def test_children_are_asked_for_themselves_and_flattened_calls_are_not(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    async def family_old() -> Any:
        await sleep("1h")
        return [await child(), await start_child(child)]

    async def family_new() -> Any:
        before = patched("shared")
        await sleep("1h")
        return [before, await child(), await start_child(child)]

    deploy(family_old)
    run = begin(workflows)
    deploy(family_new)
    assert end(workflows, run) == [False, False, True]
    for each in Run.objects.all():
        workflows.assert_replays(each)


def test_asked_after_the_outcome_of_a_keyed_child(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    async def keyed_old() -> Any:
        handle = start_child(child.options(key="one"))
        return await handle

    async def keyed_new() -> Any:
        handle = start_child(child.options(key="one"))
        asked = patched("beside")
        return [asked, await handle, patched("after")]

    deploy(keyed_old)
    run = begin(workflows)
    deploy(keyed_new)
    assert end(workflows, run) == [False, True, True]
    workflows.assert_replays(run)


@pytest.mark.parametrize(
    ("began_with", "step_name", "expected"),
    [
        # What is copied has passed the point with the old code.
        (old, "ship", ["packed", "shipped"]),
        # What is copied ends before the point.
        (old, "pack", ["packed", "insured", "shipped"]),
        (new, "ship", ["packed", "insured", "shipped"]),
        (new, "insure", ["packed", "insured", "shipped"]),
    ],
)
def test_forks_go_by_what_they_have_copied(
    workflows: WorkflowTester,
    deploy: Deploy,
    began_with: Callable[[], Any],
    step_name: str,
    expected: list[str],
) -> None:
    deploy(began_with)
    run = begin(workflows)
    workflows.advance("1d")
    deploy(new)
    forked = run.fork(run.steps.get(name__endswith=step_name).pk)
    workflows.assert_replays(forked)
    assert end(workflows, forked) == expected
    workflows.assert_replays(forked)
    check_replay(Run.objects.all(), export_history(forked)).raise_for_broken()


def test_replaying_a_run_is_a_run_of_today(
    workflows: WorkflowTester, deploy: Deploy
) -> None:
    run = begin(workflows)
    deploy(new)
    again = run.replay()
    assert end(workflows, again) == ["packed", "insured", "shipped"]
    assert run.result() == ["packed", "shipped"]
