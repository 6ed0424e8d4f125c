"""What belongs into workflow code is refused everywhere else, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import django_workflows
from django_workflows import (
    continue_as_new,
    create_hook,
    deprecate_patch,
    first_success,
    get_step_metadata,
    get_workflow_metadata,
    now,
    patched,
    race,
    saga,
    set_attributes,
    sleep,
    start_child,
    step,
    uuid4,
    workflow,
)
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester


@workflow
async def other() -> None: ...


async def racing() -> Any:
    return await race()


async def first() -> Any:
    return await first_success()


def at_once(function: Callable[[], Any]) -> Any:
    """Call it, and a coroutine up to its first await."""
    found = function()
    if hasattr(found, "send"):
        try:
            found.send(None)
        finally:
            found.close()
    return found


CALLS: dict[str, Callable[[], Any]] = {
    "sleep": lambda: sleep(1),
    "now": now,
    "random": lambda: django_workflows.random(),
    "uuid4": uuid4,
    "set_attributes": lambda: set_attributes(a=1),
    "start_child": lambda: start_child(other),
    "create_hook": create_hook,
    "patched": lambda: patched("x"),
    "deprecate_patch": lambda: deprecate_patch("x"),
    "saga": saga,
    "continue_as_new": continue_as_new,
    "race": racing,
    "first_success": first,
}


@step
def calling(name: str) -> str:
    with pytest.raises(RuntimeError) as refusal:
        at_once(CALLS[name])
    return str(refusal.value)


@workflow
async def calling_in_a_step(name: str) -> str:
    return await calling(name)


@pytest.mark.parametrize("name", CALLS)
def test_outside_of_workflows(name: str, db: None) -> None:
    with pytest.raises(RuntimeError, match=rf"{name}\(\) .* inside a workflow"):
        at_once(CALLS[name])
    assert not Run.objects.exists()
    assert not Event.objects.exists()


@pytest.mark.parametrize("name", CALLS)
def test_in_a_step(workflows: WorkflowTester, name: str) -> None:
    assert f"{name}() can only be called inside a workflow" in workflows.run(
        calling_in_a_step, name
    )
    assert Run.objects.count() == 1


@workflow
async def asking_in_workflow_code() -> str:
    with pytest.raises(RuntimeError) as refusal:
        get_step_metadata()
    assert get_workflow_metadata().workflow_name == asking_in_workflow_code.name
    return str(refusal.value)


def test_workflow_code_is_no_step(workflows: WorkflowTester) -> None:
    assert "inside a step" in workflows.run(asking_in_workflow_code)
