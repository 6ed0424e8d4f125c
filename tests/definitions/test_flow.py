"""Which step is next: with plain lists, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from django_workflows.core.expressions import MissingNameError
from django_workflows.definitions import StepDefinition, WorkflowDefinition
from django_workflows.definitions.flow import Flow, Ready

DIAMOND = ["a", "b<a", "c<a", "d<b,c"]


def step(text: str, **more: Any) -> StepDefinition:
    """`c<a,b` is the step c that depends on a and b."""
    step_id, _, before = text.partition("<")
    depends_on = before.split(",") if before else []
    return StepDefinition(
        id=step_id, action="noop", depends_on=depends_on, **more.get(step_id, {})
    )


def flow(steps: list[str], given: Any = None, **more: Any) -> Flow:
    made = [step(text, **more) for text in steps]
    return Flow(WorkflowDefinition(id="test", steps=made), given)


def ids(ready: list[Ready]) -> list[str]:
    return [each.step.id for each in ready]


def statuses(flow: Flow) -> dict[str, str]:
    return {name: outcome.status for name, outcome in flow.outcomes.items()}


def test_independent_steps_begin_together() -> None:
    assert ids(flow(["a", "b", "c"]).begin()) == ["a", "b", "c"]


def test_step_waits_for_all_that_it_depends_on() -> None:
    made = flow(DIAMOND)
    assert ids(made.begin()) == ["a"]
    assert ids(made.complete("a", 1)) == ["b", "c"]
    assert ids(made.complete("c", 3)) == []
    assert ids(made.complete("b", 2)) == ["d"]
    assert made.complete("d", 4) == []
    assert made.outputs == {"a": 1, "c": 3, "b": 2, "d": 4}


def test_false_condition_skips_what_depends_on_that_alone() -> None:
    made = flow(
        ["a", "b<a", "c<b", "d<a,c"], b={"condition": "a > 1"}, d={"condition": "!c"}
    )
    made.begin()
    assert ids(made.complete("a", 1)) == ["d"]
    assert statuses(made) == {"a": "completed", "b": "skipped", "c": "skipped"}
    assert made.state == {"a": 1, "b": None, "c": None}


def test_condition_that_cannot_be_evaluated_fails_the_step() -> None:
    made = flow(["a", "b<a"], b={"condition": "a.risk > 1"})
    made.begin()
    [ready] = made.complete("a", {"score": 1})
    assert isinstance(ready.error, MissingNameError)
    assert "score" in str(ready.error)


@pytest.mark.parametrize(
    ("given", "value"), [({"a": 2, "k": 3}, 3), ({"input": {"k": 4}}, None)]
)
def test_names_are_steps_then_keys_of_the_input(given: Any, value: Any) -> None:
    made = flow(["a", "b<a"], given)
    made.begin()
    made.complete("a", 1)
    scope = made.scope("b")
    assert scope["a"] == 1
    assert scope.get("k") == value
    assert scope["state"] == {"a": 1}
    assert scope["input"] == given.get("input", given)


@pytest.mark.parametrize("on_error", ["fail", "retry"])
def test_failure_lets_what_runs_finish_and_begins_nothing(on_error: str) -> None:
    made = flow(["a", "b", "c<b"], a={"on_error": on_error})
    made.begin()
    assert made.fail("a", "no") == []
    assert made.failure == "no"
    assert [step.id for step in made.unsettled] == ["b"]
    assert made.complete("b", 1) == []
    assert statuses(made) == {"a": "failed", "b": "completed"}


def test_first_failure_is_the_one_that_counts() -> None:
    made = flow(["a", "b"])
    made.begin()
    made.fail("b", "first")
    made.fail("a", "second")
    assert made.failure == "first"


def test_continue_goes_on_with_nothing_as_output() -> None:
    made = flow(["a", "b<a"], a={"on_error": "continue"})
    made.begin()
    assert ids(made.fail("a", "no")) == ["b"]
    assert made.failure is None
    assert made.scope("b")["a"] is None


def test_branch_runs_instead_and_others_are_skipped() -> None:
    made = flow(
        ["a", "rescue", "b<a", "after<rescue,b"],
        a={"on_error": "branch", "error_branch": "rescue"},
    )
    assert ids(made.begin()) == ["a"]
    assert ids(made.fail("a", "no")) == ["rescue"]
    assert ids(made.complete("rescue", 1)) == ["after"]
    assert statuses(made)["b"] == "skipped"


@pytest.mark.parametrize("steps", [["a", "rescue"], ["a", "rescue<a"], ["a"]])
def test_branch_is_skipped_without_an_error(steps: list[str]) -> None:
    made = flow(steps, a={"on_error": "branch", "error_branch": "rescue"})
    made.begin()
    assert made.complete("a", 1) == []
    assert statuses(made) == {"a": "completed", "rescue": "skipped"}


def test_branch_of_several_begins_at_the_first_failure() -> None:
    branch = {"on_error": "branch", "error_branch": "rescue"}
    made = flow(["a", "b", "rescue"], a=branch, b=branch)
    made.begin()
    assert ids(made.fail("b", "no")) == ["rescue"]
    assert made.scope("rescue")["a"] is None
    assert made.fail("a", "no") == []


def test_branch_waits_for_what_it_depends_on_besides() -> None:
    branch = {"on_error": "branch", "error_branch": "rescue"}
    made = flow(["a", "b", "rescue<b"], a=branch)
    made.begin()
    assert made.fail("a", "no") == []
    assert ids(made.complete("b", 1)) == ["rescue"]


def test_long_chain_of_skipped_steps_needs_no_stack() -> None:
    steps = ["s0", *(f"s{n}<s{n - 1}" for n in range(1, 1000))]
    made = flow(steps, s0={"condition": "false"})
    assert made.begin() == []
    assert set(statuses(made).values()) == {"skipped"}
