"""What is refused, and that all of it is said at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from django_workflows import InvalidDefinitionError
from django_workflows.definitions import (
    DefinedWorkflow,
    StepDefinition,
    Trigger,
    WorkflowDefinition,
    register,
)
from django_workflows.definitions.reading import examine, read_definition
from django_workflows.models import Definition


def problems(source: Any) -> list[str]:
    definition, found = examine(source)
    assert (definition is None) == bool(found)
    return found


def steps(*given: Any) -> dict[str, Any]:
    return {"id": "test", "steps": list(given)}


def noop(step_id: str, *before: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "action": "noop", "dependsOn": list(before), **more}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (5, ["an object", "int"]),
        ([], ["an object"]),
        ({}, ["id", "required", "at least one step"]),
        ({"id": "", "steps": [noop("a")]}, ["id: ", "at least 1 character"]),
        ({"id": "a\0b", "steps": [noop("a")]}, ["NUL"]),
        ({"id": "x" * 256, "steps": [noop("a")]}, ["at most 255"]),
        ({"id": "x", "name": "n" * 256, "steps": [noop("a")]}, ["name has 256"]),
        ({"id": "x", "steps": []}, ["at least one step"]),
        ({"id": "x", "steps": "abc"}, ["steps: this is a list, not str"]),
        ({"id": "x", "steps": [noop("a")], "when": 1}, ["when: there is no such"]),
        ({"id": "x", "steps": [noop("a")], "triggers": 1}, ["triggers: this is a"]),
        (steps(5), ["steps[0]", "an object, not int"]),
        (steps({"action": "noop"}), ["steps[0]: id"]),
        (steps({"id": "a"}), ["step 'a': action"]),
        (steps(noop("a", retries=1)), ["step 'a': retries: there is no such field"]),
        (steps(noop("a", maxRetries=-1)), ["step 'a': max_retries", "0"]),
        (steps(noop("a", maxRetries=2**31)), ["step 'a': max_retries"]),
        (steps(noop("a", maxRetries="3")), ["step 'a': max_retries"]),
        (steps(noop("a", onError="explode")), ["on_error", "'branch'"]),
        (steps(noop("a", wait="soon")), ["step 'a': wait", "'soon'", "3d"]),
        (steps(noop("a", wait=True)), ["step 'a': wait: this is a duration"]),
        (steps(noop("a", retryDelay=-1)), ["step 'a': retry_delay", "-1"]),
        (steps(noop("a", timeout=0)), ["step 'a': timeout", "more than 0"]),
        (steps(noop("a"), noop("a")), ["step 'a': 2 steps have this id"]),
        (
            steps(noop("a", "b"), noop("b", "a"), noop("b")),
            ["step 'b': 2 steps have this id", "a → b → a"],
        ),
        (steps(noop("a", "b")), ["depends_on: there is no step 'b'", "there are: a"]),
        (steps(noop("a", "a")), ["a → a"]),
        (
            steps(noop("a", "c"), noop("b", "a"), noop("c", "b")),
            ["a → b → c → a"],
        ),
        (
            steps(noop("a", "b"), noop("b", "a"), noop("c", "b")),
            ["step 'c': it is never reached"],
        ),
        (
            steps(noop("a", "b", onError="branch", errorBranch="b"), noop("b")),
            ["a → b → a"],
        ),
        (steps({"id": "a", "action": "nix"}), ["action: there is no 'nix'", "noop"]),
        (steps(noop("a", onError="branch")), ["error_branch", "needs the step"]),
        (
            steps(noop("a", onError="branch", errorBranch="nix")),
            ["'nix' is neither a step nor an action"],
        ),
        (steps(noop("a", errorBranch="noop")), ["only with on_error='branch'"]),
        (steps(noop("a", condition="1 +")), ["step 'a': condition", "'1 +'"]),
        (steps(noop("a", condition="f(1)")), ["nothing can be called"]),
        (steps(noop("a", condition="input.__class__")), ["__class__"]),
        (steps(noop("a", condition="nope.risk > 1")), ["no 'nope'", "input, state"]),
        (steps(noop("a", condition="nope['risk']")), ["no 'nope'"]),
        (steps(noop("a", condition="state.nope == 1")), ["no step 'nope'"]),
        (
            steps(noop("a"), noop("b", condition="a.risk")),
            ["step 'b': condition: a is not known yet", "add 'a' to depends_on"],
        ),
        (
            steps(noop("a-1"), noop("b", condition="state['a-1'] > 3")),
            ["state['a-1'] is not known yet"],
        ),
        (steps(noop("a", params={"x": ["{{ 1 + }}"]})), ["step 'a': params.x"]),
        (
            steps(noop("a", params={"x": "{{ nope.y }}"})),
            ["params.x", "no 'nope'", "input.nope"],
        ),
        (steps(noop("a", params={"x": float("nan")})), ["params: this is no JSON"]),
        (steps(noop("a", params={"x": {1: 2}})), ["params: JSON would change"]),
        (steps(noop("a", params=5)), ["step 'a': params"]),
        (
            {**steps(noop("a")), "triggers": [{"event": "E", "condition": "("}]},
            ["triggers[0]: condition"],
        ),
        (
            {**steps(noop("a")), "triggers": [{"condition": "a"}]},
            ["triggers[0]: event"],
        ),
    ],
)
def test_refused(source: Any, words: list[str]) -> None:
    text = "\n".join(problems(source))
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    "source",
    [
        steps(noop("a"), noop("b", "a", condition="a.risk < 1 && state.a.risk")),
        steps(noop("a", condition="total > 100 || input.total > 1 || input['x y']")),
        steps(noop("a"), noop("b", "a"), noop("c", "b", condition="a.x")),
        steps(noop("a", params={"x": {"y": ["{{ input.z }} and {{ total }}"]}})),
        steps(noop("a", onError="branch", errorBranch="noop"), noop("b", "noop")),
        steps(noop("a", wait=timedelta(days=1), timeout=0.5, retryDelay="PT5M")),
        {**steps(noop("a")), "triggers": [{"event": "E", "condition": "a.b.c > 1"}]},
        {"id": "x", "name": "X", "steps": [{"id": "a", "action": "noop"}]},
    ],
)
def test_accepted(source: Any) -> None:
    assert problems(source) == []


def test_every_problem_is_listed_at_once() -> None:
    source = steps(
        noop("a", "c", wait="soon"),
        {"id": "b", "action": "nix", "depends_on": ["a", "zz"], "maxRetries": -3},
        noop("c", "b", condition="nope.x > 1", colour="red"),
        noop("d", condition="a +"),
        noop("d"),
        7,
    )
    with pytest.raises(InvalidDefinitionError) as refused:
        read_definition(source)
    text = "\n".join(refused.value.problems)
    for word in (
        "'soon'",
        "'nix'",
        "'zz'",
        "max_retries",
        "a → b → c → a",
        "'nope'",
        "colour",
        "'a +'",
        "2 steps",
        "steps[5]",
    ):
        assert word in text
    assert len(refused.value.problems) == 10
    assert isinstance(refused.value, ValueError)


@pytest.mark.django_db
def test_nothing_is_stored_of_what_is_refused() -> None:
    with pytest.raises(InvalidDefinitionError):
        register(steps(noop("a", "b")))
    assert not Definition.objects.exists()


def test_python_and_json_mean_the_same() -> None:
    python = WorkflowDefinition(
        id="test",
        steps=[
            StepDefinition(id="a", action="noop"),
            StepDefinition(
                id="b",
                action="noop",
                depends_on=["a"],
                max_retries=1,
                retry_delay=timedelta(seconds=2),
                on_error="continue",
            ),
        ],
        triggers=[Trigger(event="E", condition="x > 1")],
    )
    data = {
        "id": "test",
        "steps": [
            noop("a"),
            noop("b", "a", maxRetries=1, retryDelay=2.0, onError="continue"),
        ],
        "triggers": [{"event": "E", "condition": "x > 1"}],
    }
    read = read_definition(data)
    assert read_definition(python).content() == read.content()
    assert (read.name, read.steps[1].name, read.steps[1].retries) == ("test", "b", 1)


def test_class_takes_objects_and_data() -> None:
    class Mixed(DefinedWorkflow):
        id = "tests-mixed"
        steps = (StepDefinition(id="a", action="greet"), {"id": "b", "action": "greet"})

        def greet(self, params: Any) -> str:
            return self._secret()

        def _secret(self) -> str:
            return "hidden"

    assert [step.id for step in read_definition(Mixed).steps] == ["a", "b"]
    hidden = {**steps({"id": "a", "action": "_secret"}), "id": "tests-mixed"}
    assert "there is no '_secret'" in problems(hidden)[0]


def test_thousand_steps_are_checked_and_no_more() -> None:
    chain = [noop("s0"), *(noop(f"s{n}", f"s{n - 1}") for n in range(1, 1000))]
    assert problems(steps(*chain)) == []
    assert problems(steps(*[noop(f"s{n}", f"s{(n + 1) % 1000}") for n in range(1000)]))
    assert "more than 1000" in problems(steps(*chain, noop("last")))[0]
