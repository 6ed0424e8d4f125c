"""Definitions at random: nonsense is refused and no more, and what is right runs as a
plain evaluation of it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_workflows import InvalidDefinitionError, definitions
from django_workflows.definitions import action
from django_workflows.definitions.reading import examine, read_definition
from django_workflows.models import Definition, Run
from django_workflows.testing import WorkflowTester

#: The profile `long` tries many, and large ones.
IS_LONG = settings().max_examples > 100
FEW = settings().max_examples // (20 if IS_LONG else 5)
MANY = 100_000 if IS_LONG else settings().max_examples
LARGEST = 200 if IS_LONG else 12

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a", "b", "noop", "{{ a }}", "a.b > 1", "3d", "{{", "fail"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
_STEP_FIELDS = (
    *("id", "name", "action", "params", "dependsOn", "depends_on", "condition"),
    *("wait", "onError", "maxRetries", "retryDelay", "errorBranch", "timeout", "other"),
)
near_steps = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(["a", "b", "c", "noop", "branch", "1s", ["a"], ["b"]])
        | json_values
        for name in _STEP_FIELDS
    },
)
near_definitions = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b"]) | json_values,
        "name": json_values,
        "steps": st.lists(near_steps | json_values, max_size=5) | json_values,
        "triggers": st.lists(json_values, max_size=2) | json_values,
        "other": json_values,
    },
)


@given(near_definitions | json_values)
@settings(max_examples=MANY)
def test_nonsense_is_refused_with_all_that_is_wrong(source: Any) -> None:
    definition, problems = examine(source)
    assert all(problems)
    if definition is None:
        assert problems
        with pytest.raises(InvalidDefinitionError):
            read_definition(source)
    else:
        assert read_definition(definition.content()).content() == definition.content()


# -- what is right runs as it says ----------------------------------------------------


@action("tests_random")
def compute(params: dict[str, Any]) -> int:
    """A number that follows from those of the steps before; or a failure."""
    if params["fails"]:
        raise ValueError("as planned")
    return 1 + sum(number or 0 for number in params["before"])


@st.composite
def dags(draw: st.DrawFn) -> dict[str, Any]:
    """Steps that depend on earlier ones, with conditions, waits and failures."""
    count = draw(st.integers(1, LARGEST))
    steps: list[dict[str, Any]] = []
    for number in range(count):
        before = draw(
            st.lists(
                st.integers(max(0, number - 6), number - 1), max_size=3, unique=True
            )
            if number
            else st.just([])
        )
        names = [f"s{each}" for each in before]
        fails = draw(st.integers(0, 9)) == 0
        step: dict[str, Any] = {
            "id": f"s{number}",
            "action": "tests_random",
            "dependsOn": names,
            "params": {"before": ["{{ " + name + " }}" for name in names]},
        }
        step["params"]["fails"] = fails
        if names and draw(st.integers(0, 4)) == 0:
            # A step that was skipped or failed counts as null there.
            step["condition"] = f"({names[0]} || 0) % 2 == {draw(st.integers(0, 1))}"
        if draw(st.integers(0, 9)) == 0:
            step["wait"] = f"{draw(st.integers(1, 90))}m"
        if fails:
            step["onError"] = draw(st.sampled_from(["continue", "branch"]))
        if step.get("onError") == "branch":
            step["errorBranch"] = f"rescue{number}"
            steps.append(
                {
                    "id": f"rescue{number}",
                    "action": "tests_random",
                    "params": {"before": [], "fails": False},
                }
            )
        steps.append(step)
    return {"id": "random", "steps": draw(st.permutations(steps))}


def evaluate(definition: dict[str, Any]) -> tuple[dict[str, int], dict[str, str]]:
    """Outputs and statuses, by nothing but the rules."""
    by_id = {step["id"]: step for step in definition["steps"]}
    rescued = {
        step["errorBranch"]: step["id"]
        for step in definition["steps"]
        if "errorBranch" in step
    }
    outputs: dict[str, int] = {}
    statuses: dict[str, str] = {}

    def settle(name: str) -> str:
        if name not in statuses:
            statuses[name] = decide(name)
        return statuses[name]

    def decide(name: str) -> str:
        step = by_id[name]
        if name in rescued:
            if settle(rescued[name]) != "failed":
                return "skipped"
            outputs[name] = 1
            return "completed"
        before = step.get("dependsOn", [])
        ran = [
            settle(each) == "completed"
            or (statuses[each] == "failed" and by_id[each]["onError"] == "continue")
            for each in before
        ]
        if before and not any(ran):
            return "skipped"
        if "condition" in step:
            wanted = int(step["condition"][-1])
            if outputs.get(before[0], 0) % 2 != wanted:
                return "skipped"
        if step["params"]["fails"]:
            return "failed"
        outputs[name] = 1 + sum(outputs.get(each, 0) for each in before)
        return "completed"

    for name in by_id:
        settle(name)
    return outputs, statuses


@pytest.mark.django_db
@given(dags(), st.lists(st.sampled_from(["1s", "7m", "1h"]), max_size=4))
@settings(max_examples=FEW)
def test_random_definition_runs_as_it_says(
    workflows: WorkflowTester, definition: dict[str, Any], crashes: list[str]
) -> None:
    definitions.register(definition)
    run = definitions.start("random")
    for after in crashes:
        workflows.advance(after)
        workflows.crash()
    workflows.advance("30d")
    outputs, statuses = evaluate(definition)
    assert run.result() == outputs
    status = definitions.status(run.pk)
    assert status is not None
    assert {name: each["status"] for name, each in status["stepResults"].items()} == (
        statuses
    )
    workflows.assert_replays(run)
    Run.objects.all().delete()
    Definition.objects.all().delete()
