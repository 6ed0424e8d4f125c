"""Random workflows that are steered at random: each log stays whole and replays."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from django_workflows import (
    DuplicateRunError,
    HookConflictError,
    InvalidRunStateError,
    cancel_runs,
    continue_as_new,
    get_workflow_metadata,
    resume_hook,
    saga,
    set_attributes,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Hook, Run, Step
from django_workflows.replay.epochs import effective
from django_workflows.store.replays import stored_log
from django_workflows.store.sweep import DeadWatch, sweep
from django_workflows.testing import WorkflowTester
from tests.engine.test_programs import play
from tests.faults.checks import check_log
from tests.faults.sampling import sample

chance = random.Random()


@step(max_retries=1)
def brittle(name: str) -> str:
    if chance.random() < 0.4:
        raise LookupError(name)
    return name


@step
def undo(name: str) -> str:
    return name


@workflow
async def steered(program: list[Any], left: int) -> Any:
    """A program between steps that may fail, in a saga; at times it goes on anew."""
    path = get_workflow_metadata().run_id
    async with saga() as s:
        s.compensate(undo, "all")
        first = await brittle("first")
        set_attributes(stage="begun", left=left)
        try:
            found = await play(program, path)
        except asyncio.CancelledError:
            set_attributes(stage=None)
            await sleep("1m")
            await undo("part")
            raise
        last = await asyncio.gather(brittle("last"), brittle("least"))
        if left:
            continue_as_new(program, left - 1)
    return [first, found, last]


SIMPLE = ["step", "async step", "flaky step", "sleep", "hook", "child", "keyed child"]
BLOCKS = ["gather", "wait", "failing group", "race with a sleep", "first success"]


#: What is done to runs, and how often.
ACTIONS = {
    "work": 3,
    "advance": 3,
    "crash": 1,
    "send": 2,
    "pause": 1,
    "resume": 2,
    "cancel": 1,
    "wake": 1,
    "retry": 2,
    "replay": 1,
    "fork": 1,
    "terminate": 0.3,
}
MOST_RUNS = 12
OPTIONS: dict[str, list[Any]] = {
    "timeout": [None, None, 5, 700],
    "max_concurrency": [None, 1, 2],
    "rate_limit": [None, None, "1/m"],
    "delay": [None, None, 10],
}


def program_of(depth: int) -> list[Any]:
    program: list[Any] = []
    for _ in range(chance.randint(1, 2)):
        if depth and chance.random() < 0.4:
            parts = [program_of(depth - 1) for _ in range(chance.randint(1, 2))]
            program.append([chance.choice(BLOCKS), parts])
        else:
            kind = chance.choice(SIMPLE)
            argument = chance.choice([0, 1, 60]) if kind == "sleep" else 1
            program.append([kind, argument])
    return program


def send(run: Run) -> None:
    for hook in Hook.objects.all():
        if chance.random() < 0.5:
            resume_hook(hook.token, run.pk)


def fork(run: Run) -> None:
    events = [e for e in run.history() if e.type.endswith(("_created", "_completed"))]
    counting = {event.seq for event in effective(stored_log(run))}
    seq = chance.choice(events).seq or 1
    if seq in counting:
        run.fork(seq)
    else:
        with pytest.raises(ValueError, match="void"):
            run.fork(seq)


def act(workflows: WorkflowTester, run: Run) -> None:
    """Do something to a run; what is impossible is refused."""
    (action,) = chance.choices([*ACTIONS], [*ACTIONS.values()])
    is_full = Run.objects.count() >= MOST_RUNS
    if action == "work":
        workflows.run_until_idle()
    elif action == "advance":
        workflows.advance(chance.choice([0.5, 1, 30, 600]))
    elif action == "crash":
        workflows.crash()
    elif action == "send":
        send(run)
    elif action == "fork" and not is_full:
        fork(run)
    elif action == "replay" and not is_full:
        run.replay()
    elif action not in ("fork", "replay"):
        getattr(run, action)()


def bring_to_the_end(workflows: WorkflowTester) -> None:
    for turn in range(200):
        workflows.run_until_idle()
        for paused in Run.objects.filter(status="paused"):
            paused.resume()
        workflows.run_until_idle()
        still_open = Run.objects.open()
        if not still_open.exists():
            return
        assert not still_open.exclude(blocked_reason="").exists(), [
            run.blocked_reason for run in still_open
        ]
        for hook in Hook.objects.all():
            resume_hook(hook.token, turn)
        workflows.advance("1d")
    raise AssertionError([str(run) for run in Run.objects.open()])


@pytest.mark.parametrize("seed", sample(16, 2))
def test_whatever_is_asked_of_runs_their_logs_stay_whole(
    workflows: WorkflowTester, seed: int
) -> None:
    chance.seed(seed)
    for _ in range(3):
        options = {name: chance.choice(OPTIONS[name]) for name in OPTIONS}
        start(steered.options(**options), program_of(2), chance.choice([0, 0, 1]))
    for _ in range(40):
        run = chance.choice(list(Run.objects.order_by("created_at", "id")))
        try:
            act(workflows, run)
        except (InvalidRunStateError, HookConflictError, DuplicateRunError):
            continue
    if chance.random() < 0.3:
        cancel_runs(Run.objects.open())
    bring_to_the_end(workflows)
    sweep(DeadWatch())  # what came too late for a run that has ended
    for run in Run.objects.all():
        check_log(run)
        workflows.assert_replays(run)
    assert not Event.objects.filter(seq=None).exists()
    assert not Hook.objects.exists()
    assert not Step.objects.filter(status__in=["pending", "running"]).exists()
