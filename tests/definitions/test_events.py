"""Business events: what they start, and that they start it once."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_workflows import SerializationError, workflow
from django_workflows.core.expressions import ExpressionError
from django_workflows.definitions import (
    DefinedWorkflow,
    ahandle_event,
    delete_definition,
    handle_event,
    register,
    storing,
)
from django_workflows.models import Definition, DefinitionTrigger, Run
from django_workflows.replay.registry import registry
from django_workflows.testing import WorkflowTester

pytestmark = pytest.mark.django_db


@workflow(name="tests.definitions.ship", on="Tests.placed", when="total > 100")
async def ship(order: dict[str, Any]) -> Any:
    return order["total"]


@workflow(name="tests.definitions.archive", on="Tests.archived", version="1")
async def archive_v1(order: Any) -> str:
    return "old"


@workflow(name="tests.definitions.archive", on="Tests.archived", version="2")
async def archive_v2(order: Any) -> str:
    return "new"


def define(definition_id: str, *triggers: str | tuple[str, str]) -> None:
    given = [(each, None) if isinstance(each, str) else each for each in triggers]
    register(
        {
            "id": definition_id,
            "steps": [{"id": "a", "action": "echo"}],
            "triggers": [
                {"event": event, **({"condition": when} if when else {})}
                for event, when in given
            ],
        }
    )


def started(runs: list[Run]) -> list[str]:
    return sorted(run.attributes.get("definition", run.workflow) for run in runs)


def test_event_starts_all_that_wait_for_it(workflows: WorkflowTester) -> None:
    define("big", ("Tests.placed", "total > 100"))
    define("all", "Tests.placed")
    define("other", "Tests.paid", "Tests.Placed")
    runs = handle_event("Tests.placed", {"total": 200})
    assert started(runs) == ["all", "big", "tests.definitions.ship"]
    workflows.run_until_idle()
    assert [run.result() for run in runs] == [
        {"a": {"total": 200}},
        {"a": {"total": 200}},
        200,
    ]
    assert started(handle_event("Tests.placed", {"total": 1})) == ["all"]
    assert handle_event("tests.placed", {"total": 200}) == []


def test_newest_version_of_a_workflow_is_started(workflows: WorkflowTester) -> None:
    [run] = handle_event("Tests.archived", {})
    workflows.run_until_idle()
    assert run.result() == "new"


@pytest.mark.parametrize(
    ("condition", "data", "matches"),
    [
        ("plan === 'pro' && seats >= 3", {"plan": "pro", "seats": 3}, True),
        ("missing > 1", {"plan": "pro"}, False),
        ("plan > 1", {"plan": "pro"}, False),
        ("plan", [1, 2], False),
        ("input.plan", {"plan": 1}, False),
        ("true", None, True),
    ],
)
def test_condition(condition: str, data: Any, matches: bool) -> None:
    define("conditional", ("E", condition))
    define("beside", "E")
    expected = ["beside", "conditional"] if matches else ["beside"]
    assert started(handle_event("E", data)) == expected


def test_several_matching_triggers_start_a_definition_once() -> None:
    define("once", "E", ("E", "true"), "E")
    assert started(handle_event("E", {})) == ["once"]


@pytest.mark.parametrize("event_id", ["evt-1", "e" * 1000])
def test_same_event_starts_nothing_twice(event_id: str) -> None:
    define("once", "Tests.placed")
    data = {"total": 200}
    first = handle_event("Tests.placed", data, event_id)
    again = handle_event("Tests.placed", {"total": 500}, event_id=event_id)
    assert [run.pk for run in again] == [run.pk for run in first]
    assert Run.objects.count() == 2
    define("twice", "Tests.placed")
    third = handle_event("Tests.placed", data, event_id="another")
    assert started(third) == ["once", "tests.definitions.ship", "twice"]


def test_ids_are_told_apart_whatever_they_are_made_of() -> None:
    define("order", "E")
    define("order:7", "E")
    first = handle_event("E", {}, event_id="7:8")
    second = handle_event("E", {}, event_id="8")
    assert len({run.pk for run in first + second}) == 4


def test_event_without_an_id_is_always_a_new_one() -> None:
    define("always", "E")
    assert handle_event("E", {})[0].pk != handle_event("E", {})[0].pk


def test_event_is_part_of_the_callers_transaction() -> None:
    define("test", "E")
    with transaction.atomic():
        handle_event("E", {})
        transaction.set_rollback(True)
    assert not Run.objects.exists()


def test_all_or_nothing_is_started() -> None:
    define("test", "E")
    with pytest.raises(SerializationError):
        handle_event("E", {"value": object()})
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("event", "event_id"), [("", None), (None, None), ("E", ""), ("E", 5), ("a\0", "x")]
)
def test_what_is_no_event(event: Any, event_id: Any) -> None:
    with pytest.raises(ValueError, match="event"):
        handle_event(event, {}, event_id)


def test_deleted_definition_hears_of_nothing() -> None:
    define("test", "E")
    delete_definition("test")
    assert handle_event("E", {}) == []


def test_only_what_listens_is_read() -> None:
    for number in range(20):
        define(f"deaf-{number}", "Tests.paid")
        define(f"deaf-{number}")
    define("was-all-ears", "E")
    define("was-all-ears", "other")
    assert handle_event("nothing", {}) == []
    with CaptureQueriesContext(connection) as nobody:
        assert handle_event("nothing", {}) == []
    assert len(nobody) == 3  # one, in a transaction
    with patch.object(storing, "read_row", wraps=storing.read_row) as read_row:
        assert handle_event("E", {}) == []
        assert read_row.call_count == 1
        define("ears", "E", "F", ("E", "true"))
        read_row.reset_mock()
        assert started(handle_event("E", {})) == ["ears"]
        assert read_row.call_count == 2


def test_what_older_code_has_stored_listens_too() -> None:
    """In the middle of a deploy: it knows no table of triggers."""
    define("test", "E")
    define("other", "other")
    forget_trigger_rows()
    assert started(handle_event("E", {})) == ["test"]
    define("test", "E")
    row = Definition.objects.get(definition_id="test")
    assert (row.version, row.has_trigger_rows) == (1, True)
    assert row.trigger_rows.count() == 1
    assert started(handle_event("E", {})) == ["test"]


def test_stored_definitions_listen_after_the_migration() -> None:
    define("test", "E", "F", ("E", "total"))
    define("test", "Ü\n")
    define("deaf")
    migration = import_module("django_workflows.migrations.0011_definition_triggers")
    before = trigger_rows()
    forget_trigger_rows()
    for _ in range(2):
        migration.add_trigger_rows(apps, SimpleNamespace(connection=connection))
        assert trigger_rows() == before
    assert not Definition.objects.filter(has_trigger_rows=False).exists()
    assert len(before) == 3


def forget_trigger_rows() -> None:
    DefinitionTrigger.objects.all().delete()
    Definition.objects.update(has_trigger_rows=False)


def trigger_rows() -> set[tuple[int, str]]:
    rows = DefinitionTrigger.objects.values_list("definition_id", "event_hash")
    return {(definition, event_hash) for definition, event_hash in rows}


def test_class_listens_before_it_has_a_row() -> None:
    class Listening(DefinedWorkflow):
        id = "tests-listening"
        steps = ({"id": "a", "action": "noop"},)
        triggers = ({"event": "E"},)

    assert started(handle_event("E", {})) == ["tests-listening"]
    assert started(handle_event("E", {})) == ["tests-listening"]
    data = {"id": "tests-listening", "steps": [{"id": "a", "action": "noop"}]}
    register({**data, "triggers": [{"event": "F"}]})
    assert handle_event("E", {}) == []
    assert started(handle_event("F", {})) == ["tests-listening"]

    class Again(Listening):
        id = "tests-listening"
        steps = ({"id": "b", "action": "noop"},)

    assert handle_event("F", {}) == []
    assert started(handle_event("E", {})) == ["tests-listening"]


def test_async_twin() -> None:
    define("test", "E")
    assert started(async_to_sync(ahandle_event)("E", {}, "id")) == ["test"]


# -- what is refused when a workflow is defined ----------------------------------


@pytest.fixture
def registering() -> Iterator[None]:
    with patch.object(registry, "add_workflow"):
        yield


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"on": "E", "when": "total >"}, ExpressionError, "total >"),
        ({"on": "E", "when": "f(total)"}, ExpressionError, "called"),
        ({"when": "total > 1"}, TypeError, "on="),
        ({"on": ""}, ValueError, "event"),
        ({"on": 5}, TypeError, "option on is a text"),
    ],
)
def test_wrong_trigger_of_a_workflow_is_refused(
    registering: None, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    async def one(data: Any) -> None: ...

    with pytest.raises(error, match=words.replace("(", r"\(")):
        workflow(**options)(one)


def test_workflow_started_by_an_event_takes_one_argument(registering: None) -> None:
    async def two(data: Any, more: Any) -> None: ...

    with pytest.raises(TypeError, match="one argument"):
        workflow(on="E")(two)
