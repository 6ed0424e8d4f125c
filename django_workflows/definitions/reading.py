"""Reads definitions from data, and says all that is wrong with one at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from django_workflows.core.texts import has_lone_surrogate
from django_workflows.definitions.checking import find_problems
from django_workflows.definitions.classes import DefinedWorkflow, raw_definition
from django_workflows.definitions.schema import (
    MOST_STEPS,
    Part,
    StepDefinition,
    Trigger,
    WorkflowDefinition,
)
from django_workflows.errors import InvalidDefinitionError

Source = WorkflowDefinition | Mapping[str, Any] | type[DefinedWorkflow]
P = TypeVar("P", bound=Part)
#: Problems that are listed; whoever has more has enough to do.
_MOST_PROBLEMS = 100


def read_definition(source: Source) -> WorkflowDefinition:
    """A definition, checked. Raises InvalidDefinitionError with every problem."""
    definition, problems = examine(source)
    if definition is None:
        raise InvalidDefinitionError(problems=problems[:_MOST_PROBLEMS])
    return definition


def examine(source: Source) -> tuple[WorkflowDefinition | None, list[str]]:
    """A definition if it is right, else None, and all that is wrong with it."""
    raw = _raw(source)
    if raw is None:
        kind = type(source).__name__
        return None, [f"a definition is an object with id and steps, not {kind}"]
    problems = _text_problems(raw)
    if problems:
        return None, problems
    steps = _parts(StepDefinition, raw, "steps", problems)
    triggers = _parts(Trigger, raw, "triggers", problems)
    raw |= {"steps": [], "triggers": []}
    whole = _read(WorkflowDefinition, raw, {"id": "?"}, "", problems)
    if whole is None:
        return None, problems
    whole.steps, whole.triggers = steps, triggers
    problems += find_problems(whole)
    problems += _json_problems(whole)
    return (None if problems else whole), problems


def _text_problems(raw: Mapping[Any, Any]) -> list[str]:
    """Texts that databases do not take, or that cannot be read again once stored."""
    name = raw.get("name")
    has_nul = isinstance(name, str) and "\0" in name
    problems = [f"name: {name!a} has a NUL"] if has_nul else []
    waiting: list[tuple[str, Any]] = [("", raw)]
    while waiting and len(problems) < _MOST_PROBLEMS:
        place, value = waiting.pop()
        if isinstance(value, str):
            if has_lone_surrogate(value):
                problems.append(f"{place}: {value!a} has half of a surrogate pair")
        elif isinstance(value, Part):
            waiting.append((place, vars(value)))
        elif isinstance(value, Mapping):
            for key, each in value.items():
                waiting.append((f"{place}, a key" if place else "a key", key))
                inner = ascii(key)[1:-1] if isinstance(key, str) else str(key)
                waiting.append((f"{place}.{inner}" if place else inner, each))
        elif isinstance(value, list | tuple):
            waiting += [(f"{place}[{n}]", each) for n, each in enumerate(value)]
    return problems


def _raw(source: Any) -> dict[Any, Any] | None:
    if isinstance(source, type) and issubclass(source, DefinedWorkflow):
        return raw_definition(source)
    if isinstance(source, WorkflowDefinition):
        names = type(source).model_fields
        return {name: getattr(source, name) for name in names}
    if isinstance(source, Mapping):
        return WorkflowDefinition.python_names(source)
    return None


def _parts(
    kind: type[P], raw: Mapping[str, Any], field: str, problems: list[str]
) -> list[P]:
    """The steps or triggers; what is wrong with one does not hide the others."""
    given = raw.get(field, None if kind is StepDefinition else ())
    if given is None and kind is StepDefinition:
        problems.append("steps: a definition has at least one step")
        return []
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        problems.append(f"{field}: this is a list, not {type(given).__name__}")
        return []
    if not given and kind is StepDefinition:
        problems.append("steps: a definition has at least one step")
    if len(given) > MOST_STEPS:
        problems.append(f"{field}: {len(given)} are more than {MOST_STEPS}")
        return []
    parts = []
    for index, each in enumerate(given):
        where = _where(each, f"{field}[{index}]")
        if isinstance(each, kind):
            parts.append(each)
        elif not isinstance(each, Mapping):
            kind_given = type(each).__name__
            problems.append(f"{where}: this is an object, not {kind_given}")
        else:
            stand_in = {"id": f"{field}[{index}]", "action": "noop", "event": "?"}
            part = _read(kind, each, stand_in, where, problems)
            parts += [] if part is None else [part]
    return parts


def _where(given: Any, place: str) -> str:
    name = given.get("id") if isinstance(given, Mapping) else None
    return f"step {name!r}" if isinstance(name, str) and name else place


def _read(
    kind: type[P],
    given: Mapping[Any, Any],
    stand_in: Mapping[str, Any],
    where: str,
    problems: list[str],
) -> P | None:
    """A part as far as it can be read: fields that are wrong are left out, those that
    are missing and needed are made up. None if nothing can be read."""
    raw = kind.python_names(given)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
    wrong_fields = set()
    for problem in wrong:
        path = [*kind.python_names({problem["loc"][0]: None}), *problem["loc"][1:]]
        wrong_fields.add(path[0])
        place = ".".join(map(str, path[:1])) if _is_choice(problem) else _path(path)
        message = _message(problem, kind)
        line = f"{where}: {place}: {message}" if where else f"{place}: {message}"
        if line not in problems:
            problems.append(line)
    known = {
        name: value
        for name, value in raw.items()
        if name in kind.model_fields and name not in wrong_fields
    }
    missing = {
        name: stand_in[name]
        for name, field in kind.model_fields.items()
        if field.is_required() and name not in known and name in stand_in
    }
    return kind.model_validate(known | missing)


def _path(path: Iterable[Any]) -> str:
    return ".".join(map(str, path))


def _is_choice(problem: Any) -> bool:
    """The path ends with the type that was tried, which is no part of the data."""
    return len(problem["loc"]) > 1 and problem["loc"][0] in (
        "wait",
        "timeout",
        "retry_delay",
        "retryDelay",
    )


def _message(problem: Any, kind: type[Part]) -> str:
    if problem["type"] == "extra_forbidden":
        return f"there is no such field; there are: {', '.join(kind.model_fields)}"
    if _is_choice(problem):
        return "this is a duration: seconds, or text such as '30s' or '3d'"
    return str(problem["msg"])


def _json_problems(definition: WorkflowDefinition) -> list[str]:
    """Definitions are stored as JSON: what JSON cannot hold comes back as it went."""
    problems = []
    for step in definition.steps:
        try:
            text = json.dumps(step.params, allow_nan=False)
            if step.params is not None and json.loads(text) != step.params:
                problems.append(
                    f"step {step.id!r}: params: JSON would change these values; give "
                    "lists, and texts as keys"
                )
        except (TypeError, ValueError, RecursionError) as error:
            problems.append(f"step {step.id!r}: params: this is no JSON: {error}")
    return problems
