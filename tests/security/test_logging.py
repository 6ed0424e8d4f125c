"""What is logged, at whatever level, tells no secrets."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from django_workflows import (
    HookDisposedError,
    HookNotFoundError,
    Workflow,
    WorkflowRunFailedError,
    create_hook,
    resume_hook,
    start,
    workflow,
)
from django_workflows.models import Hook, Run
from django_workflows.testing import WorkflowTester
from tests.cluster.harness import DEADLINE, until
from tests.engine.deploys import Deploys, deploy
from tests.faults.threads import one_worker
from tests.security import workflows as flows
from tests.security.markers import Spy, Tap, mark
from tests.security.passing import PAYLOADS, TOKENS, pass_everything

__all__ = ["deploy"]


class Secrets:
    """What is not to be logged: marked values, and what the engine makes itself."""

    def __init__(self) -> None:
        self.spy = Spy(*PAYLOADS, *TOKENS, "lost_token", "inbox_token")

    def gather(self) -> None:
        """Note the tokens and seeds that there are now."""
        for run in Run.objects.all():
            self.spy.look_for(f"seed of {run.pk}", bytes(run.seed))
        for hook in Hook.objects.all():
            self.spy.look_for(f"token of {hook.pk}", hook.token.encode())

    def found_in(self, text: str) -> set[str]:
        self.spy.look_at(text)
        return self.spy.found


@pytest.fixture
def tap() -> Iterator[Tap]:
    """At the root, which gets to see everything."""
    tap, root = Tap(), logging.getLogger()
    level = root.level
    root.addHandler(tap)
    root.setLevel(logging.DEBUG)
    yield tap
    root.removeHandler(tap)
    root.setLevel(level)


def test_everything_that_passes(workflows: WorkflowTester, tap: Tap) -> None:
    secrets = Secrets()
    pass_everything(workflows, secrets.gather)
    assert "compensation_failed" in tap
    assert "run_blocked" in tap
    assert secrets.found_in("\n".join(tap.lines)) == set()


def test_hooks_that_are_lost(workflows: WorkflowTester, tap: Tap) -> None:
    """Neither the log nor the error, which the caller may log."""
    secrets = Secrets()
    run = start(flows.loses_a_hook)
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError) as caught:
        run.result()
    assert isinstance(caught.value.cause, HookDisposedError)
    with pytest.raises(HookNotFoundError) as missing:
        resume_hook(mark("lost_token"), 1)
    errors = [caught.value, caught.value.cause, missing.value]
    text = "".join(f"{error} {error!r}" for error in errors)
    assert secrets.found_in("\n".join([text, *tap.lines])) == set()


def test_code_that_has_changed(
    workflows: WorkflowTester, deploy: Deploys, tap: Tap
) -> None:
    def first() -> Workflow[..., Any]:
        @workflow(name="tests.security.changing")
        async def changing() -> None:
            await create_hook(mark("first_token"))

        return changing

    def second() -> Workflow[..., Any]:
        @workflow(name="tests.security.changing")
        async def changing() -> None:
            await create_hook(mark("carried_token"))

        return changing

    deploy(first)
    run = start("tests.security.changing")
    workflows.run_until_idle()
    deploy(second)
    resume_hook(mark("first_token"), 1)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert "run_blocked" in tap
    assert Secrets().found_in("\n".join([run.blocked_reason, *tap.lines])) == set()


@pytest.mark.django_db(transaction=True)
def test_worker_at_work(tap: Tap, capfd: pytest.CaptureFixture[str]) -> None:
    secrets = Secrets()
    with one_worker():
        run = start(flows.waits, mark("run_input"))
        failing = start(flows.fails, mark("error_argument"))
        with pytest.raises(WorkflowRunFailedError):
            failing.result(timeout=DEADLINE)
        until(lambda: Hook.objects.filter(run=run).exists(), "the hook of the run")
        secrets.gather()
        resume_hook(mark("inbox_token"), mark("hook_payload"))
        assert run.result(timeout=DEADLINE) == [mark("run_input"), mark("hook_payload")]
    written = capfd.readouterr()
    text = "\n".join([*tap.lines, written.out, written.err])
    assert secrets.found_in(text) == set()
