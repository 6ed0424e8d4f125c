"""What can be wrong with a definition whose parts can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django_workflows.core.durations import to_seconds
from django_workflows.core.expressions import (
    Expression,
    ExpressionError,
    compile_expression,
    compile_template,
)
from django_workflows.definitions.actions import find_action, known_actions
from django_workflows.definitions.graph import (
    ancestors,
    cycles,
    in_order,
    predecessors,
)
from django_workflows.definitions.schema import StepDefinition, WorkflowDefinition
from django_workflows.replay.options import check_name

#: Names that every expression of a step knows.
_ALWAYS = ("input", "state")
_LISTED = 20
#: Characters of a name that a row keeps.
LONGEST_NAME = 255


def find_problems(definition: WorkflowDefinition) -> list[str]:
    """Everything that makes a definition impossible to run, each with its place."""
    return [
        *_name_problems("id", definition.id),
        *_long_name(definition),
        *_duplicates(definition),
        *_unknown_steps(definition),
        *_cycles(definition),
        *_branches(definition),
        *_actions(definition),
        *_durations(definition),
        *_expressions(definition),
        *_triggers(definition),
    ]


def _name_problems(what: str, value: str) -> Iterator[str]:
    try:
        check_name(what, value, LONGEST_NAME)
    except ValueError as error:
        yield str(error)


def _long_name(definition: WorkflowDefinition) -> Iterator[str]:
    length = len(definition.name)
    if definition.name != definition.id and length > LONGEST_NAME:
        yield f"name has {length} characters, {LONGEST_NAME} are allowed"


def _duplicates(definition: WorkflowDefinition) -> Iterator[str]:
    seen: dict[str, int] = {}
    for step in definition.steps:
        seen[step.id] = seen.get(step.id, 0) + 1
        yield from _name_problems("the id of a step", step.id)
    for step_id, count in seen.items():
        if count > 1:
            yield f"step {step_id!r}: {count} steps have this id"


def _unknown_steps(definition: WorkflowDefinition) -> Iterator[str]:
    known = predecessors(definition.steps)
    for step in definition.steps:
        for name in step.depends_on:
            if name not in known:
                yield (
                    f"step {step.id!r}: depends_on: there is no step {name!r}; "
                    f"{_there_are(known)}"
                )


def _cycles(definition: WorkflowDefinition) -> Iterator[str]:
    before = predecessors(definition.steps)
    found = cycles(before)
    for path in found:
        yield f"these steps wait for each other: {' → '.join(path)}"
    on_a_cycle = {key for path in found for key in path}
    reached = set(in_order(before))
    for key in before:
        if key not in reached and key not in on_a_cycle:
            yield f"step {key!r}: it is never reached, as it waits for such steps"


def _branches(definition: WorkflowDefinition) -> Iterator[str]:
    ids = {step.id for step in definition.steps}
    for step in definition.steps:
        where = f"step {step.id!r}: error_branch"
        if step.on_error != "branch":
            if step.error_branch is not None:
                yield f"{where}: this has a meaning only with on_error='branch'"
        elif step.error_branch is None:
            yield f"{where}: on_error='branch' needs the step that runs instead"
        elif step.error_branch not in ids and not find_action(
            definition.id, step.error_branch
        ):
            yield (
                f"{where}: {step.error_branch!r} is neither a step nor an action; "
                f"steps: {', '.join(sorted(ids)[:_LISTED])}; actions: "
                f"{', '.join(known_actions(definition.id)[:_LISTED])}"
            )


def _actions(definition: WorkflowDefinition) -> Iterator[str]:
    for step in definition.steps:
        if find_action(definition.id, step.action) is None:
            yield (
                f"step {step.id!r}: action: there is no {step.action!r}; "
                f"{_there_are(known_actions(definition.id))}"
            )


def _durations(definition: WorkflowDefinition) -> Iterator[str]:
    for step in definition.steps:
        for field in ("wait", "retry_delay", "timeout"):
            value = getattr(step, field)
            if value is None:
                continue
            try:
                seconds = to_seconds(value)
            except ValueError as error:
                yield f"step {step.id!r}: {field}: {error}"
            else:
                if field == "timeout" and not seconds:
                    yield f"step {step.id!r}: timeout: this must be more than 0"


def _expressions(definition: WorkflowDefinition) -> Iterator[str]:
    before = predecessors(definition.steps)
    earlier = ancestors(before)
    for step in definition.steps:
        for field, expression in _compiled(step):
            where = f"step {step.id!r}: {field}"
            if isinstance(expression, ExpressionError):
                yield f"{where}: {expression}"
                continue
            # What waits in a cycle has no order to speak of.
            allowed = earlier.get(step.id, set(before))
            for problem in _name_use(expression, set(before), allowed):
                yield f"{where}: {problem} in {expression.text!r}"


def _compiled(
    step: StepDefinition,
) -> Iterator[tuple[str, Expression | ExpressionError]]:
    if step.condition is not None:
        try:
            yield "condition", compile_expression(step.condition)
        except ExpressionError as error:
            yield "condition", error
    for name, value in (step.params or {}).items():
        try:
            for expression in compile_template(value).expressions():
                yield f"params.{name}", expression
        except ExpressionError as error:
            yield f"params.{name}", error


def _name_use(
    expression: Expression, steps: set[str], earlier: set[str]
) -> Iterator[str]:
    """What an expression asks for that cannot be there. A bare name may be a key of
    the input, which is known only when it is given."""
    followed = {name for name, _ in expression.keys}
    used = {name: name for name in expression.names if name in steps}
    if "state" not in steps:
        used |= {
            key: f"state[{key!r}]"
            for name, key in expression.keys
            if name == "state" and isinstance(key, str)
        }
    for name in sorted(followed - steps - set(_ALWAYS)):
        yield (
            f"there is no {name!r}; {_there_are([*earlier, *_ALWAYS])}; if it is a key "
            f"of the input, write input.{name}"
        )
    for key, shown in sorted(used.items()):
        if key == "length" and key not in steps:
            continue
        if key not in steps:
            yield f"{shown}: there is no step {key!r}; {_there_are(steps)}"
        elif key not in earlier:
            yield (
                f"{shown} is not known yet: they would run side by side; add {key!r} "
                "to depends_on"
            )


def _triggers(definition: WorkflowDefinition) -> Iterator[str]:
    for index, trigger in enumerate(definition.triggers):
        yield from _name_problems("the event of a trigger", trigger.event)
        if trigger.condition is None:
            continue
        try:
            compile_expression(trigger.condition)
        except ExpressionError as error:
            yield f"triggers[{index}]: condition: {error}"


def _there_are(names: Any) -> str:
    listed = sorted(names)
    more = ", …" if len(listed) > _LISTED else ""
    return f"there are: {', '.join(listed[:_LISTED])}{more}"
