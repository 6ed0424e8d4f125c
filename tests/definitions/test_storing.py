"""Versions of definitions: what counts as the same, and which one is current."""

from __future__ import annotations

from typing import Any

import pytest

from django_workflows import InvalidDefinitionError, definitions
from django_workflows.definitions import DefinedWorkflow, get_definition, register
from django_workflows.definitions.classes import classes
from django_workflows.models import Definition
from django_workflows.testing import WorkflowTester

pytestmark = pytest.mark.django_db


def with_wait(wait: str, definition_id: str = "test") -> dict[str, Any]:
    steps = [{"id": "a", "action": "noop", "wait": wait}]
    return {"id": definition_id, "steps": steps}


def version(definition_id: str = "test") -> int | None:
    found = get_definition(definition_id)
    return None if found is None else found.version


def test_identical_content_keeps_the_version() -> None:
    assert register(with_wait("1d")).version == 1
    same: dict[str, Any] = {"steps": [], "name": "test", "triggers": [], "id": "test"}
    same["steps"] = [{"wait": "1d", "name": "a", "depends_on": []}]
    same["steps"][0] |= {"id": "a", "action": "noop", "onError": "fail"}
    assert register(same).version == 1
    assert register(with_wait("2d")).version == 2
    assert register(with_wait("1d")).version == 3
    assert version() == 3
    assert Definition.objects.count() == 3


def test_what_is_read_can_be_registered_again() -> None:
    register(with_wait("1d"))
    found = get_definition("test")
    assert found is not None
    assert register(found).version == register(found.content()).version == 1


def test_ids_differ_by_case_and_spaces() -> None:
    for definition_id in ("test", "TEST", "test "):
        assert register(with_wait("1d", definition_id)).version == 1
    assert {"test", "TEST", "test "} <= {d.id for d in definitions.list_definitions()}


def test_deleted_definition_comes_back_when_it_is_registered() -> None:
    register(with_wait("1d"))
    assert definitions.delete_definition("test")
    assert version() is None
    assert register(with_wait("1d")).version == 1
    assert version() == 1
    definitions.delete_definition("test")
    assert register(with_wait("2d")).version == 2


def test_returned_definition_is_not_the_stored_one() -> None:
    register(with_wait("1d"))
    found = get_definition("test")
    assert found is not None
    found.steps[0].wait = "9d"
    again = get_definition("test")
    assert again is not None
    assert again.steps[0].wait == "1d"


@pytest.fixture
def defined() -> type[DefinedWorkflow]:
    class Versioned(DefinedWorkflow):
        id = "tests-versioned"
        steps = ({"id": "a", "action": "greet"},)

        def greet(self, params: Any) -> str:
            return "hello"

    return Versioned


def test_class_is_known_without_a_row(
    workflows: WorkflowTester, defined: type[DefinedWorkflow]
) -> None:
    assert version("tests-versioned") == 1
    assert not Definition.objects.exists()
    run = definitions.start("tests-versioned")
    assert Definition.objects.get().is_code
    assert definitions.start("tests-versioned").attributes["definition_version"] == 1
    workflows.run_until_idle()
    assert run.result() == {"a": "hello"}
    assert register(defined).version == 1


def test_changed_class_is_the_next_version(defined: type[DefinedWorkflow]) -> None:
    definitions.start("tests-versioned")

    class Changed(defined):  # type: ignore[valid-type,misc]
        id = "tests-versioned"
        steps = ({"id": "b", "action": "greet"},)

    assert version("tests-versioned") == 2
    assert definitions.start("tests-versioned").attributes["definition_version"] == 2
    # A process with the former code, or that code once more, goes on with what it has.
    classes.add(defined)
    assert definitions.start("tests-versioned").attributes["definition_version"] == 1


def test_data_under_the_id_of_a_class_use_its_actions(
    workflows: WorkflowTester, defined: type[DefinedWorkflow]
) -> None:
    definitions.start("tests-versioned")
    data = {"id": "tests-versioned", "steps": [{"id": "z", "action": "greet"}]}
    assert register(data).version == 2
    run = definitions.start("tests-versioned")
    workflows.run_until_idle()
    assert run.result() == {"z": "hello"}


def test_data_are_newer_than_a_class_of_which_there_is_no_row(
    workflows: WorkflowTester, defined: type[DefinedWorkflow]
) -> None:
    data = {"id": "tests-versioned", "steps": [{"id": "z", "action": "greet"}]}
    assert register(data).version == version("tests-versioned") == 1
    run = definitions.start("tests-versioned")
    workflows.run_until_idle()
    assert run.result() == {"z": "hello"}

    class Changed(defined):  # type: ignore[valid-type,misc]
        id = "tests-versioned"
        steps = ({"id": "b", "action": "greet"},)

    assert version("tests-versioned") == 2
    assert register(data).version == version("tests-versioned") == 1


def test_class_registered_after_data_is_newer_again(
    defined: type[DefinedWorkflow],
) -> None:
    data = {"id": "tests-versioned", "steps": [{"id": "z", "action": "greet"}]}
    assert [register(defined).version, register(data).version] == [1, 2]
    assert register(defined).version == version("tests-versioned") == 3
    definitions.delete_definition("tests-versioned")
    assert register(defined).version == version("tests-versioned") == 3


def test_number_of_versions_does_not_change_that_of_queries(
    django_assert_num_queries: Any,
) -> None:
    for wait in range(1, 5):
        register(with_wait(f"{wait}d"))
        register(with_wait(f"{wait}h", "other"))
    with django_assert_num_queries(2):
        listed = {each.id: each.version for each in definitions.list_definitions()}
    assert (listed["test"], listed["other"]) == (4, 4)


def test_class_can_be_deleted(defined: type[DefinedWorkflow]) -> None:
    assert definitions.delete_definition("tests-versioned")
    assert version("tests-versioned") is None
    assert "tests-versioned" not in [d.id for d in definitions.list_definitions()]
    assert register(defined).version == 1


def test_class_that_makes_no_sense_is_refused_when_it_is_used() -> None:
    class Wrong(DefinedWorkflow):
        id = "tests-wrong"
        steps = ({"id": "a", "action": "nix"},)

    with pytest.raises(InvalidDefinitionError, match="'nix'"):
        definitions.start("tests-wrong")
    assert "tests-wrong" not in [each.id for each in definitions.list_definitions()]
    steps = [{"id": "a", "action": "noop"}]
    register({"id": "right", "steps": steps, "triggers": [{"event": "E"}]})
    assert len(definitions.handle_event("E", {})) == 1
