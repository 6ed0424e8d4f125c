"""Runs whose code does what only a step may do, or no longer follows the log."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from django_workflows import (
    NonDeterminismError,
    WorkflowGuardError,
    create_hook,
    get_run,
    resume_hook,
    sleep,
    start,
    start_many,
    step,
    workflow,
)
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.app.models import Marker

log: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    log.clear()


@step
def note(text: str) -> str:
    log.append(text)
    return text


@step
def other(text: str) -> str:
    log.append(f"other {text}")
    return text


@step
def is_blocked() -> bool:
    return Run.objects.blocked().exists()


async def unchanged() -> Any:
    await note("a")
    await sleep("1h")
    return await note("b")


#: What the workflow does today; tests deploy other code by putting it here.
code: Callable[[], Any] = unchanged


@pytest.fixture
def deploy() -> Any:
    """Return a function that changes what `changing` does, until the test's end."""

    def put(function: Callable[[], Any]) -> None:
        global code
        code = function

    yield put
    put(unchanged)


@workflow
async def changing() -> Any:
    return await code()


FORBIDDEN: dict[str, Callable[[], object]] = {
    "time": time.time,
    "monotonic": time.monotonic,
    "sleep": lambda: time.sleep(0),
    "now": datetime.now,
    "random": random.random,
    "unseeded": lambda: random.Random(),
    "uuid4": uuid.uuid4,
    "open": lambda: Path("/dev/null").read_text(),
    "orm read": lambda: list(Run.objects.all()),
    "orm write": lambda: Marker.objects.create(name="x"),
}


def blocked(run: Run) -> str:
    run.refresh_from_db()
    assert run.status == "running" or run.status == "pending"
    return run.blocked_reason


def types_of(run: Run) -> list[str]:
    return [event.type for event in run.history()]


@pytest.mark.parametrize("call", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_only_a_step_may_do_blocks_the_run(
    workflows: WorkflowTester, deploy: Any, call: Callable[[], object]
) -> None:
    async def guarded() -> str:
        await note("a")
        call()
        return await note("b")

    deploy(guarded)
    run = start(changing)
    workflows.run_until_idle()
    reason = blocked(run)
    assert reason.startswith("WorkflowGuardError")
    assert "test_blocked.py" in reason
    assert log == ["a"]
    assert not Marker.objects.exists()


OURS: dict[str, tuple[Callable[[], object], str]] = {
    "start": (lambda: start(changing), "Use start_child(), or move this into a @step."),
    "start_many": (
        lambda: start_many(changing, [()]),
        "Use start_child(), or move this into a @step.",
    ),
    "resume_hook": (lambda: resume_hook("t", 1), "Move this into a @step."),
    "get_run": (lambda: get_run("wrun_x"), "Move this into a @step."),
    "cancel": (lambda: Run(pk="wrun_x").cancel(), "Move this into a @step."),
}


@pytest.mark.parametrize("name", OURS)
def test_what_steers_runs_belongs_into_steps(
    workflows: WorkflowTester, name: str, deploy: Any
) -> None:
    """The refusal names what was called, not by what means that does its work."""
    call, advice = OURS[name]

    async def steering() -> object:
        return call()

    deploy(steering)
    run = start(changing)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert f"{name}() was called in workflow code" in run.blocked_reason
    assert run.blocked_reason.endswith(advice)
    assert Run.objects.count() == 1


def test_catching_the_refusal_does_not_help(
    workflows: WorkflowTester, deploy: Any
) -> None:
    async def swallowing() -> str:
        with suppress(BaseException):
            time.time()
        with suppress(BaseException):
            await note("never")
        return "done"

    deploy(swallowing)
    run = start(changing)
    workflows.run_until_idle()
    assert blocked(run).startswith("WorkflowGuardError")
    assert types_of(run) == ["run_created"]
    assert log == []


def test_a_blocked_run_goes_on_with_fixed_code(
    workflows: WorkflowTester, deploy: Any
) -> None:
    async def broken() -> str:
        await note("a")
        time.time()
        return "never"

    async def fixed() -> str:
        await note("a")
        return await note("b")

    deploy(broken)
    run = start(changing)
    workflows.run_until_idle()
    assert blocked(run)
    deploy(fixed)
    workflows.crash()  # a worker with the new code begins
    workflows.advance("2m")
    assert run.result() == "b"
    assert log == ["a", "b"]
    run.refresh_from_db()
    assert (run.blocked_reason, run.blocked_times) == ("", 0)


def test_a_run_is_blocked_no_more_as_soon_as_its_steps_run(
    workflows: WorkflowTester, deploy: Any
) -> None:
    async def broken() -> None:
        await sleep("1m")
        time.time()

    async def fixed() -> bool:
        await sleep("1m")
        return await is_blocked()

    deploy(broken)
    run = start(changing)
    workflows.run_until_idle()
    workflows.advance("1m")
    assert blocked(run)
    deploy(fixed)
    workflows.crash()  # a worker with the new code begins
    workflows.advance("2m")
    assert run.result() is False


def test_a_step_that_has_ended_is_not_run_again_because_its_run_is_blocked(
    workflows: WorkflowTester, deploy: Any
) -> None:
    async def broken() -> None:
        await note("charge")
        time.time()

    deploy(broken)
    run = start(changing)
    workflows.run_until_idle()
    for _ in range(3):
        assert blocked(run)
        workflows.advance("1h")
    workflows.crash()
    workflows.advance("1h")
    assert blocked(run)
    assert log == ["charge"]


def test_a_blocked_run_is_tried_again_after_growing_delays(
    workflows: WorkflowTester, deploy: Any
) -> None:
    async def broken() -> None:
        time.time()

    deploy(broken)
    run = start(changing)
    workflows.run_until_idle()
    begun = workflows.now
    delays = []
    for _ in range(8):
        blocked(run)
        assert run.wake_at is not None
        delays.append((run.wake_at - workflows.now).total_seconds())
        workflows.advance(delays[-1])
    assert delays[:3] == [60, 120, 240]
    assert delays[-1] == 3600
    assert workflows.now > begun


def test_a_blocked_run_keeps_what_is_sent_to_it(
    workflows: WorkflowTester, deploy: Any
) -> None:
    async def waiting() -> Any:
        hook = create_hook(token="t")
        await hook
        return await hook

    async def broken() -> Any:
        hook = create_hook(token="t")
        await hook
        time.time()
        return await hook

    deploy(broken)
    run = start(changing)
    workflows.run_until_idle()
    resume_hook("t", 1)
    workflows.run_until_idle()
    assert blocked(run)
    resume_hook("t", 2)
    run.cancel("later")
    workflows.run_until_idle()
    assert blocked(run)
    deploy(waiting)
    workflows.crash()
    workflows.advance("1h")
    run.refresh_from_db()
    assert run.status == "completed"
    assert run.result() == 2


def test_other_runs_are_not_held_up(workflows: WorkflowTester, deploy: Any) -> None:
    async def broken() -> None:
        time.time()

    deploy(broken)
    bad = [start(changing) for _ in range(3)]
    good = start(innocent)
    workflows.run_until_idle()
    assert good.result() == "fine"
    assert all(blocked(run) for run in bad)


@workflow
async def innocent() -> str:
    return await note("fine")


def test_run_raises_the_blocking_error(workflows: WorkflowTester, deploy: Any) -> None:
    async def broken() -> None:
        time.time()

    deploy(broken)
    with pytest.raises(WorkflowGuardError, match="time"):
        workflows.run(changing)


# -- code that changes under a run ----------------------------------------------------


async def renamed_step() -> Any:
    await other("a")
    await sleep("1h")
    return await note("b")


async def other_argument() -> Any:
    await note("A")
    await sleep("1h")
    return await note("b")


async def step_left_out() -> Any:
    await sleep("1h")
    return await note("b")


async def step_put_in() -> Any:
    await note("a")
    await other("new")
    await sleep("1h")
    return await note("b")


async def other_sleep() -> Any:
    await note("a")
    await sleep("2h")
    return await note("b")


async def hook_instead_of_sleep() -> Any:
    await note("a")
    await create_hook(token="t")
    return await note("b")


async def ended_early() -> Any:
    await note("a")
    return "early"


async def raised_early() -> Any:
    await note("a")
    raise ValueError("early")


DIVERGING = [
    renamed_step,
    other_argument,
    step_left_out,
    step_put_in,
    other_sleep,
    hook_instead_of_sleep,
    ended_early,
    raised_early,
]


@pytest.mark.parametrize("changed", DIVERGING, ids=lambda f: f.__name__)
def test_code_that_leaves_the_log_is_parked_and_goes_on_once_restored(
    workflows: WorkflowTester, deploy: Any, changed: Callable[[], Any]
) -> None:
    run = start(changing)
    workflows.run_until_idle()
    before = types_of(run)
    deploy(changed)
    with pytest.raises(NonDeterminismError):
        workflows.assert_replays(run)
    workflows.crash()
    workflows.advance("1h")
    assert blocked(run).startswith("NonDeterminismError")
    assert types_of(run) == before
    assert log == ["a"]
    deploy(unchanged)
    workflows.assert_replays(run)
    workflows.advance("2h")
    assert run.result() == "b"
    assert log == ["a", "b"]


def test_the_part_not_yet_reached_may_change(
    workflows: WorkflowTester, deploy: Any
) -> None:
    async def later_part() -> Any:
        await note("a")
        await sleep("1h")
        return await other("c")

    run = start(changing)
    workflows.run_until_idle()
    deploy(later_part)
    workflows.crash()
    workflows.advance("1h")
    assert run.result() == "c"


def test_logging_in_workflow_code_is_allowed(
    workflows: WorkflowTester, deploy: Any, caplog: Any
) -> None:
    import logging

    async def talking() -> str:
        logging.getLogger("app").warning("before")
        await note("a")
        logging.getLogger("app").warning("after")
        await sleep("1h")
        return "done"

    deploy(talking)
    run = start(changing)
    workflows.run_until_idle()
    workflows.crash()
    workflows.advance("1h")
    assert run.result() == "done"
    said = [record.message for record in caplog.records if record.name == "app"]
    assert said == ["before", "after"]
