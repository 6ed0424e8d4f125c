"""Executions of definitions: on the engine, from the start to what people read."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction

from django_workflows import (
    InvalidRunStateError,
    WorkflowNotRegisteredError,
    WorkflowRunFailedError,
    WorkflowRunNotFoundError,
    definitions,
    workflow,
)
from django_workflows.core.expressions import MissingNameError
from django_workflows.definitions import action, register, start
from django_workflows.errors import StepTimeoutError
from django_workflows.models import Run
from django_workflows.store.timeline import read_timeline
from django_workflows.testing import WorkflowTester
from tests.definitions.conftest import Diary

pytestmark = pytest.mark.django_db

STATUS_KEYS = {
    "id",
    "workflowId",
    "status",
    "input",
    "state",
    "output",
    "error",
    "currentStepIndex",
    "completedSteps",
    "stepResults",
    "startedAt",
    "completedAt",
    "history",
}


def define(*steps: dict[str, Any], **more: Any) -> str:
    given = [{"action": "one", **step} for step in steps]
    return register({"id": "test", "steps": given, **more}).id


def status(run: Run) -> dict[str, Any]:
    found = definitions.status(run.pk)
    assert found is not None
    return found


def results(run: Run) -> dict[str, str]:
    return {
        name: result["status"] for name, result in status(run)["stepResults"].items()
    }


def run_to_end(workflows: WorkflowTester, run: Run) -> None:
    workflows.run_until_idle()
    while not Run.objects.get(pk=run.pk).is_closed:
        workflows.advance("2h")


# -- what actions are given -----------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ input.order.total * 2 }}", 84),
        ("order {{ input.order.total }} of {{ who }}", "order 42 of Ada"),
        ("{{ first.items[0] }}", "x"),
        (["{{ state.first }}", {"deep": "{{ first.items.length }}"}], None),
        ("{{ first.text }}", "{{ input.secret }}"),
    ],
)
def test_params_are_templates(
    workflows: WorkflowTester, diary: Diary, template: Any, value: Any
) -> None:
    first = {"items": ["x", "y"], "text": "{{ input.secret }}"}
    diary.outputs["one"] = first
    define(
        {"id": "first"},
        {
            "id": "second",
            "action": "echo",
            "dependsOn": ["first"],
            "params": {"it": template},
        },
    )
    run = start("test", {"order": {"total": 42}, "who": "Ada", "secret": "s"})
    workflows.run_until_idle()
    expected = [first, {"deep": 2}] if value is None else value
    assert run.result()["second"] == {"it": expected}


@pytest.mark.parametrize(
    ("params", "given"), [({}, {}), ({"params": {}}, {}), ({}, {"a": 1}), ({}, [1])]
)
def test_without_params_the_input_is_given(
    workflows: WorkflowTester, params: dict[str, Any], given: Any
) -> None:
    define({"id": "a", "action": "echo_later", **params})
    run = start("test", given)
    workflows.run_until_idle()
    assert run.result() == {"a": {} if params else given}


def test_no_input_is_an_empty_one(workflows: WorkflowTester) -> None:
    define({"id": "a", "action": "echo"})
    run = start("test")
    workflows.run_until_idle()
    assert run.result() == {"a": {}}


def test_state_has_outputs_and_null_for_what_was_skipped(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.outputs["two"] = 2
    define(
        {"id": "a", "condition": "false"},
        {"id": "b", "action": "two"},
        {"id": "c", "action": "three", "dependsOn": ["a", "b"]},
    )
    start("test")
    workflows.run_until_idle()
    assert diary.calls == [("two", {}, {"a": None}), ("three", {}, {"a": None, "b": 2})]


# -- flow on the engine ---------------------------------------------------------------


def test_key_that_is_missing_fails_the_step_naming_those_there_are(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.outputs["one"] = {"score": 1}
    define(
        {"id": "a"},
        {"id": "b", "dependsOn": ["a"], "params": {"x": "{{ a.risk }}"}},
    )
    run = start("test", {"k": 1})
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError) as failed:
        run.result()
    assert isinstance(failed.value.cause, MissingNameError)
    assert "score" in status(run)["error"]
    assert results(run) == {"a": "completed", "b": "failed"}
    assert diary.names == ["one"]
    workflows.assert_replays(run)


@pytest.mark.parametrize("field", ["condition", "params"])
def test_bare_name_that_is_missing_fails_the_step(
    workflows: WorkflowTester, field: str
) -> None:
    value: Any = "nope > 1" if field == "condition" else {"x": "{{ nope }}"}
    define({"id": "a", field: value}, {"id": "b", "action": "two"})
    run = start("test", {"total": 1})
    workflows.run_until_idle()
    assert "there are: input, state, total" in status(run)["error"]
    assert results(run) == {"a": "failed", "b": "completed"}
    workflows.assert_replays(run)


def test_action_whose_output_cannot_be_stored_fails_its_step(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.outputs["one"] = object()
    define({"id": "a", "on_error": "continue"}, {"id": "b", "depends_on": ["a"]})
    run = start("test")
    run_to_end(workflows, run)
    assert "cannot serialize" in status(run)["stepResults"]["a"]["error"]


def test_wait_begins_after_the_condition_holds(
    workflows: WorkflowTester, diary: Diary
) -> None:
    define(
        {"id": "a", "wait": "1h"},
        {"id": "b", "wait": "1h", "dependsOn": ["a"], "action": "two"},
        {"id": "c", "wait": "1h", "condition": "false", "action": "three"},
    )
    run = start("test")
    workflows.run_until_idle()
    assert status(run)["status"] == "waiting"
    assert results(run) == {"a": "running", "c": "skipped"}
    workflows.advance("1h")
    assert diary.names == ["one"]
    workflows.advance("1h")
    assert diary.names == ["one", "two"]
    assert run.result().keys() == {"a", "b"}


def test_failure_ends_waits_and_lets_what_runs_finish(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.failing |= {"one": 1, "two": 1}
    define(
        {"id": "a"},
        {"id": "b", "action": "two", "max_retries": 1, "retry_delay": "1m"},
        {"id": "c", "action": "three", "wait": "1d"},
        {"id": "d", "action": "four", "depends_on": ["b"]},
    )
    run = start("test")
    run_to_end(workflows, run)
    assert status(run)["error"] == "one failed"
    assert results(run) == {"a": "failed", "b": "completed"}
    assert diary.names == ["one", "two", "two"]
    definitions.retry(run.pk)
    run_to_end(workflows, run)
    workflows.advance("1d")
    assert run.result().keys() == {"a", "b", "c", "d"}
    assert sorted(diary.names) == ["four", "one", "one", "three", "two", "two"]
    workflows.assert_replays(run)


@pytest.mark.parametrize(
    ("more", "attempts"),
    [
        ({}, 1),
        ({"on_error": "retry"}, 4),
        ({"on_error": "retry", "max_retries": 1}, 2),
        ({"max_retries": 2}, 3),
        ({"on_error": "continue", "max_retries": 2}, 3),
        ({"on_error": "branch", "error_branch": "noop", "max_retries": 1}, 2),
    ],
)
def test_attempts(
    workflows: WorkflowTester, diary: Diary, more: dict[str, Any], attempts: int
) -> None:
    diary.failing["one"] = 100
    define({"id": "a", **more})
    run = start("test")
    run_to_end(workflows, run)
    assert diary.names == ["one"] * attempts
    assert status(run)["stepResults"]["a"]["retries"] == attempts - 1
    goes_on = more.get("on_error") in ("continue", "branch")
    assert status(run)["status"] == ("completed" if goes_on else "failed")


def test_retry_delay_is_always_the_same(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.failing["one"] = 3
    define({"id": "a", "max_retries": 3, "retry_delay": "1h"})
    start("test")
    for attempts in (1, 2, 3, 4):
        workflows.run_until_idle()
        assert len(diary.calls) == attempts
        workflows.advance("59m 59s")
        assert len(diary.calls) == attempts
        workflows.advance("1s")


def test_timeout_is_that_of_one_attempt(workflows: WorkflowTester) -> None:
    @action("tests_slow")
    def slow(params: Any) -> None:
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            pass

    define({"id": "a", "action": "tests_slow", "timeout": "1ms"})
    run = start("test")
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError) as failed:
        run.result()
    assert isinstance(failed.value.cause, StepTimeoutError)
    assert str(failed.value.cause).startswith("attempt 1 of step a took")


def test_what_people_read_of_a_step_is_its_id(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.failing["one"] = 1
    define({"id": "reserve"})
    run = start("test")
    workflows.run_until_idle()
    with pytest.raises(WorkflowRunFailedError) as failed:
        run.result()
    cause = failed.value.cause
    assert cause is not None
    assert "step reserve failed after 1 attempt: one failed" in str(cause.__cause__)
    (operation,) = read_timeline(run).operations
    assert operation.name == "reserve"


def test_branch_that_is_an_action_runs_under_its_own_name(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.failing["one"] = 1
    diary.outputs["two"] = "told"
    define(
        {"id": "a", "on_error": "branch", "error_branch": "two"},
        {"id": "b", "depends_on": ["a"], "action": "three"},
        {"id": "c", "depends_on": ["two"], "action": "four"},
    )
    run = start("test", {"k": 1})
    workflows.run_until_idle()
    assert run.result() == {"two": "told", "c": None}
    assert results(run) == {
        "a": "failed",
        "b": "skipped",
        "two": "completed",
        "c": "completed",
    }
    assert diary.calls[1] == ("two", {"k": 1}, {"a": None, "b": None})


# -- versions and starts --------------------------------------------------------------


def test_running_executions_keep_their_version(
    workflows: WorkflowTester, diary: Diary
) -> None:
    define({"id": "a", "wait": "1h"})
    old = start("test")
    workflows.run_until_idle()
    define({"id": "a", "wait": "1h", "action": "two"})
    new = start("test")
    workflows.crash()
    workflows.advance("1h")
    assert sorted(diary.names) == ["one", "two"]
    assert (old.attributes, new.attributes) == (
        {"definition": "test", "definition_version": 1},
        {"definition": "test", "definition_version": 2},
    )
    workflows.run_until_idle()
    assert definitions.replay(old.pk).attributes["definition_version"] == 1


def test_deleted_definition_starts_nothing_and_what_runs_finishes(
    workflows: WorkflowTester, diary: Diary
) -> None:
    define({"id": "a", "wait": "1h"})
    run = start("test")
    workflows.run_until_idle()
    definitions.delete_definition("test")
    with pytest.raises(WorkflowNotRegisteredError, match="'test'"):
        start("test")
    workflows.advance("1h")
    assert run.result() == {"a": None}


def test_start_takes_the_options_of_runs(workflows: WorkflowTester) -> None:
    define({"id": "a"})
    options: dict[str, Any] = {"key": "k", "queue": "slow", "attributes": {"n": 1}}
    run = start("test", {}, **options)
    assert start("test", {}, **options).pk == run.pk
    assert (run.key, run.queue, run.attributes["n"]) == ("k", "slow", 1)
    assert run.attributes["definition"] == "test"


def test_start_is_part_of_the_callers_transaction() -> None:
    define({"id": "a"})
    with transaction.atomic():
        start("test")
        transaction.set_rollback(True)
    assert not Run.objects.exists()


# -- what people read -----------------------------------------------------------------


def test_status_is_plain_json_with_the_originals_keys(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.outputs["one"] = {"at": workflows.now, "tags": {"x"}}
    define({"id": "a"})
    run = start("test", {"who": "Ada"})
    pending = status(run)
    assert pending.keys() == STATUS_KEYS
    assert (pending["status"], pending["startedAt"], pending["output"]) == (
        "pending",
        None,
        None,
    )
    workflows.run_until_idle()
    done = json.loads(json.dumps(status(run)))
    assert done.keys() == STATUS_KEYS
    assert done["workflowId"] == "test"
    assert done["state"] == done["output"]
    assert done["output"]["a"]["tags"] == ["x"]
    assert done["currentStepIndex"] == 1
    milliseconds = round(workflows.now.timestamp() * 1000)
    assert done["startedAt"] == done["completedAt"] == milliseconds
    assert {entry["timestamp"] for entry in done["history"]} <= {
        milliseconds - 1,
        milliseconds,
    }


@pytest.mark.parametrize(
    ("end", "shown"), [("terminate", "cancelled"), ("cancel", "cancelled")]
)
def test_status_of_ended_executions(
    workflows: WorkflowTester, end: str, shown: str
) -> None:
    define({"id": "a", "wait": "1d"})
    run = start("test")
    workflows.run_until_idle()
    getattr(run, end)()
    workflows.run_until_idle()
    found = status(run)
    assert (found["status"], found["stepResults"]) == (shown, {})
    assert found["completedAt"] is not None
    assert [each["id"] for each in definitions.list_executions(status=shown)] == [
        run.pk
    ]


def test_status_after_the_deadline(workflows: WorkflowTester) -> None:
    define({"id": "a", "wait": "1d"})
    run = start("test", timeout="1h")
    workflows.advance("1h")
    assert (status(run)["status"], status(run)["error"]) == (
        "failed",
        "the deadline of the execution has passed",
    )


def test_executions_are_listed_newest_first(workflows: WorkflowTester) -> None:
    define({"id": "a", "wait": "1d"})
    register({"id": "other", "steps": [{"id": "a", "action": "noop"}]})
    first, second = start("test"), start("test")
    other = start("other")
    workflows.run_until_idle()

    def listed(**filters: Any) -> set[str]:
        return {each["id"] for each in definitions.list_executions(**filters)}

    assert listed() == {first.pk, second.pk, other.pk}
    assert listed(workflow_id="test") == {first.pk, second.pk}
    assert listed(status="waiting") == {first.pk, second.pk}
    assert listed(status="completed") == {other.pk}
    assert listed(status="running") == set()
    assert len(listed(limit=1)) == 1
    workflows.advance("1s")
    third = start("test")
    assert definitions.list_executions(limit=1)[0]["id"] == third.pk
    with pytest.raises(ValueError, match="'open'"):
        definitions.list_executions(status="open")
    with pytest.raises(ValueError, match="limit"):
        definitions.list_executions(limit=0)


@pytest.mark.parametrize("unknown", ["\0", "a\0b", "\ud800", "x" * 5000])
def test_an_id_that_no_definition_can_have(unknown: str) -> None:
    define({"id": "a"})
    start("test")
    assert definitions.list_executions(unknown) == []
    assert definitions.get_definition(unknown) is None
    assert definitions.delete_definition(unknown) is False
    assert definitions.status(unknown) is None
    with pytest.raises(WorkflowNotRegisteredError):
        start(unknown)
    with pytest.raises(WorkflowRunNotFoundError):
        definitions.history(unknown)


@pytest.mark.parametrize("given", [7, b"test"])
def test_what_is_no_id(given: Any) -> None:
    define({"id": "a"})
    for ask in (
        definitions.list_executions,
        definitions.get_definition,
        definitions.delete_definition,
        definitions.start,
    ):
        with pytest.raises(TypeError, match="the id of a definition is a text"):
            ask(given)
    for find in (definitions.status, definitions.history, definitions.cancel):
        with pytest.raises(TypeError, match="the id of a run is a text"):
            find(given)


@workflow(name="tests.definitions.in_code")
async def in_code() -> None:
    """No execution of a definition."""


@pytest.mark.parametrize(
    "operation", ["pause", "resume", "cancel", "retry", "replay", "history"]
)
def test_operations_on_what_is_no_execution(operation: str) -> None:
    run = in_code.start()
    for run_id in ("wrun_nope", "\0", run.pk):
        with pytest.raises(WorkflowRunNotFoundError):
            getattr(definitions, operation)(run_id)
        assert definitions.status(run_id) is None


def test_impossible_operation_is_refused(workflows: WorkflowTester) -> None:
    define({"id": "a"})
    run = start("test")
    workflows.run_until_idle()
    with pytest.raises(InvalidRunStateError):
        definitions.retry(run.pk)


def test_async_twins(workflows: WorkflowTester) -> None:
    async def use() -> list[Any]:
        await definitions.aregister({"id": "test", "steps": [STEP]})
        run = await definitions.astart("test", {})
        await sync_to_async(workflows.run_until_idle)()
        await definitions.apause(run.pk)
        await sync_to_async(workflows.run_until_idle)()
        await definitions.aresume(run.pk)
        await sync_to_async(workflows.run_until_idle)()
        await definitions.acancel(run.pk)
        await sync_to_async(workflows.run_until_idle)()
        await definitions.aretry(run.pk)
        await sync_to_async(workflows.advance)("1d")
        found = await definitions.astatus(run.pk)
        assert found is not None
        assert await definitions.aget_definition("test") is not None
        return [
            found["status"],
            len(await definitions.ahistory(run.pk)) > 3,
            (await definitions.areplay(run.pk)).workflow,
            len(await definitions.alist_executions("test")),
            "test" in [each.id for each in await definitions.alist_definitions()],
            await definitions.adelete_definition("test"),
        ]

    assert async_to_sync(use)() == [
        "completed",
        True,
        "django_workflows.definition",
        2,
        True,
        True,
    ]


STEP = {"id": "a", "action": "noop", "wait": "1d"}
