"""Hooks with schemas: what they take, and how other processes know it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from typing import Annotated, Any

import pydantic
import pytest
from asgiref.sync import async_to_sync

from django_workflows import (
    continue_as_new,
    create_hook,
    define_hook,
    get_hook_by_token,
    start,
    workflow,
)
from django_workflows.models import Event, Hook, Run
from django_workflows.replay.defined_hooks import find_defined_hook
from django_workflows.testing import WorkflowTester


class Approval(pydantic.BaseModel):
    """Who has decided what."""

    approved: bool
    by: str = "nobody"
    on: date | None = None


class Anything:
    """A class that JSON schema cannot describe."""


def is_even(number: int) -> int:
    if number % 2:
        raise ValueError("odd")
    return number


approval = define_hook(Approval)
amount = define_hook(schema=list[int])
even = define_hook(Annotated[int, pydantic.AfterValidator(is_even)])
opaque = define_hook(pydantic.InstanceOf[Anything])


@workflow
async def approving() -> Any:
    return await approval.create(token="approval")


@workflow
async def summing() -> int:
    return sum(await amount.create(token="amount"))


@workflow
async def claiming(token: str) -> Any:
    return await {"even": even, "opaque": opaque}[token].create(token=token)


@workflow
async def claiming_plain() -> Any:
    return await create_hook(token="plain")


@workflow
async def approving_in_turns(turn: int = 0) -> None:
    hook = approval.create(token="approval")
    if turn == 0:
        continue_as_new(1)
    await hook
    raise ValueError("to be retried")


@workflow
async def leaving_the_hook_to_a_successor(turn: int = 0) -> None:
    if turn == 0:
        await approval.create(token="approval")
        continue_as_new(1)
    await create_hook(token="other")
    raise ValueError("to be retried")


def begin(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    run = start(target, *args)
    workflows.run_until_idle()
    return run


def data_of(run: Run, kind: str) -> dict[str, Any]:
    [event] = [event for event in run.history() if event.type == kind]
    return event.data


def test_a_defined_hook_delivers_the_validated_value(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, approving)
    assert approval.resume("approval", {"approved": "yes", "by": "me"}) == run
    workflows.run_until_idle()
    assert run.result() == Approval(approved=True, by="me")


def test_a_defined_hook_delivers_nothing_that_is_invalid(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, approving)
    with pytest.raises(pydantic.ValidationError):
        approval.resume("approval", {"approved": "perhaps"})
    assert not Event.objects.filter(type="hook_received").exists()
    async_to_sync(approval.aresume)("approval", {"approved": False})
    workflows.run_until_idle()
    assert run.result() == Approval(approved=False)


def test_any_type_can_be_a_schema(workflows: WorkflowTester) -> None:
    run = begin(workflows, summing)
    with pytest.raises(pydantic.ValidationError):
        amount.resume("amount", ["x"])
    amount.resume("amount", ["1", 2])
    workflows.run_until_idle()
    assert run.result() == 3


def test_defined_hooks_cannot_be_created_outside_of_a_workflow() -> None:
    with pytest.raises(RuntimeError, match="inside a workflow"):
        approval.create()


# -- the recorded schema --------------------------------------------------------------


def test_the_schema_is_recorded_with_the_hook_and_its_event(
    workflows: WorkflowTester,
) -> None:
    run = begin(workflows, approving)
    schema = json.loads(get_hook_by_token("approval").schema)
    assert schema["properties"]["approved"] == {"title": "Approved", "type": "boolean"}
    assert schema["description"] == "Who has decided what."
    assert data_of(run, "hook_created")["schema"] == schema


def test_a_plain_hook_has_no_schema(workflows: WorkflowTester) -> None:
    run = begin(workflows, claiming_plain)
    assert get_hook_by_token("plain").schema == ""
    assert "schema" not in data_of(run, "hook_created")


def test_a_type_without_a_json_schema_is_recorded_by_its_name(
    workflows: WorkflowTester,
) -> None:
    begin(workflows, claiming, "opaque")
    schema = json.loads(get_hook_by_token("opaque").schema)
    assert find_defined_hook(schema) is opaque
    assert list(schema) == ["x-python-type"]


def test_the_schema_survives_a_retry(workflows: WorkflowTester) -> None:
    begin(workflows, approving_in_turns)
    recorded = get_hook_by_token("approval").schema
    approval.resume("approval", {"approved": True})
    workflows.run_until_idle()
    failed = Run.objects.get(status=Run.Status.FAILED)
    assert not Hook.objects.exists()
    failed.retry()
    assert recorded
    assert get_hook_by_token("approval").schema == recorded


def test_a_hook_carried_to_a_successor_keeps_its_schema(
    workflows: WorkflowTester,
) -> None:
    begin(workflows, leaving_the_hook_to_a_successor)
    recorded = get_hook_by_token("approval").schema
    approval.resume("approval", {"approved": True})
    workflows.run_until_idle()
    successor = Run.objects.get(continued_from__isnull=False)
    carried = get_hook_by_token("approval")
    assert carried.run == successor
    assert carried.schema == recorded != ""
    assert data_of(successor, "hook_carried")["schema"] == json.loads(recorded)


_OTHER_PROCESS = """
import json, sys
from django_workflows.replay.defined_hooks import find_defined_hook
schemas = [json.loads(line) for line in sys.stdin]
before = [find_defined_hook(schema) for schema in schemas]
import tests.engine.test_defined_hooks as module
after = [find_defined_hook(schema) for schema in schemas]
assert before == [None, None], before
assert after == [module.approval, module.even], after
print("found")
"""


def test_another_process_finds_the_type_once_it_has_imported_it(
    workflows: WorkflowTester,
) -> None:
    begin(workflows, approving)
    begin(workflows, claiming, "even")
    schemas = [get_hook_by_token(token).schema for token in ("approval", "even")]
    found = subprocess.run(
        [sys.executable, "-c", _SET_UP + _OTHER_PROCESS],
        input="\n".join(schemas),
        capture_output=True,
        text=True,
    )
    assert (found.stdout, found.returncode) == ("found\n", 0), found.stderr


_SET_UP = """
import os, django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()
"""


def test_types_that_look_the_same_are_taken_for_neither() -> None:
    first = define_hook(Annotated[int, pydantic.AfterValidator(lambda n: n + 1)])
    assert find_defined_hook(first.json_schema) is first
    second = define_hook(Annotated[int, pydantic.AfterValidator(lambda n: n + 2)])
    assert first.identity == second.identity
    assert find_defined_hook(second.json_schema) is None
    third = define_hook(Annotated[int, pydantic.AfterValidator(lambda n: n + 3)])
    assert find_defined_hook(third.json_schema) is None


def test_a_class_that_is_defined_again_is_the_same() -> None:
    def redefine() -> Any:
        class Local(pydantic.BaseModel):
            number: int

        return define_hook(Local)

    redefine()
    newest = redefine()
    assert find_defined_hook(newest.json_schema) is newest
