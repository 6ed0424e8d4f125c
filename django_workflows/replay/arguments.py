"""Arguments that come as JSON, checked against a workflow's signature.

For whoever starts workflows and is no Python code: the API, forms, the command line.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import Parameter
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.errors import PydanticUserError
from pydantic.warnings import ArbitraryTypeWarning

from django_workflows.core.json_schemas import TolerantSchema
from django_workflows.core.problems import problems_by_field
from django_workflows.replay.definitions import Workflow

_BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
#: Takes any value, as the annotation is not known in this process, or is no type.
_UNKNOWN = typing.Annotated[Any, "unknown"]
# What no JSON value is, is refused when it comes, and not when the model is made.
_CONFIG = ConfigDict(arbitrary_types_allowed=True)


class ArgumentsError(ValueError):
    """Arguments do not fit. ``problems`` are lists of messages by the name of the
    parameter they are about, or under ``args`` and ``kwargs``."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        super().__init__(
            "; ".join(f"{name}: {' '.join(found)}" for name, found in problems.items())
        )
        self.problems = dict(problems)


def check_arguments(
    workflow: Workflow[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Plain JSON values as values of the types that the workflow's annotations name.

    What is not annotated stays as it is, and defaults are left to the workflow. Raises
    ArgumentsError, which tells everything that is wrong.
    """
    given = _Given(workflow.signature)
    given.take(args, kwargs)
    try:
        # As text: then it is by JSON's rules, which has no words for dates and sets.
        checked = model_of(workflow.func).model_validate_json(json.dumps(given.values))
    except ValidationError as error:
        raise ArgumentsError({**problems_by_field(error), **given.problems}) from None
    if given.problems:
        raise ArgumentsError(given.problems)
    names = checked.model_fields_set
    return given.call({name: getattr(checked, name) for name in names})


def arguments_schema(workflow: Workflow[..., Any]) -> dict[str, Any]:
    """The JSON Schema of an object with the workflow's parameters."""
    return model_of(workflow.func).model_json_schema(schema_generator=TolerantSchema)


def result_schema(workflow: Workflow[..., Any]) -> dict[str, Any]:
    """The JSON Schema of what the workflow returns; empty if it does not say."""
    try:
        hints = typing.get_type_hints(workflow.func, include_extras=True)
        returned: TypeAdapter[Any] = TypeAdapter(hints["return"])
    except (NameError, AttributeError, TypeError, KeyError, PydanticUserError):
        return {}
    return returned.json_schema(mode="serialization", schema_generator=TolerantSchema)


@dataclass
class _Given:
    """Values by the names of the parameters that they were given to."""

    signature: inspect.Signature
    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    #: How many of them came by their place.
    places: int = 0

    def take(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        ordered = self._names(*_BY_PLACE)
        self.places = min(len(args), len(ordered))
        self.values = dict(zip(ordered, args, strict=False))
        more, rest = list(args[len(ordered) :]), self._names(Parameter.VAR_POSITIONAL)
        if rest:
            self.values[rest[0]] = more
        elif more:
            self._refuse("args", f"takes at most {len(ordered)}, {len(args)} are given")
        named, extra = set(self._names(*_BY_NAME)), self._names(Parameter.VAR_KEYWORD)
        others = {name: value for name, value in kwargs.items() if name not in named}
        for name in kwargs.keys() & named:
            if name in self.values:
                self._refuse(name, "is given by its place and by its name")
            self.values[name] = kwargs[name]
        if extra:
            self.values[extra[0]] = others
        elif others:
            known = ", ".join(sorted(named)) or "none"
            unknown = ", ".join(map(repr, sorted(others)))
            self._refuse("kwargs", f"no parameter is named {unknown}; there is {known}")

    def call(
        self, checked: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The values that were given, by now checked, as they are to be passed."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for index, parameter in enumerate(self.signature.parameters.values()):
            key = key_of(index)
            if key not in checked:
                continue
            if parameter.kind is Parameter.VAR_POSITIONAL:
                args += checked[key]
            elif parameter.kind is Parameter.VAR_KEYWORD:
                kwargs |= checked[key]
            elif index < self.places:
                args.append(checked[key])
            else:
                kwargs[parameter.name] = checked[key]
        return tuple(args), kwargs

    def _names(self, *kinds: Any) -> list[str]:
        parameters = self.signature.parameters.values()
        return [p.name for p in parameters if p.kind in kinds]

    def _refuse(self, name: str, message: str) -> None:
        self.problems.setdefault(name, []).append(message)


@lru_cache(maxsize=1024)
def model_of(func: Any, skipped: frozenset[str] = frozenset()) -> type[BaseModel]:
    """A model with a field for each parameter, which is called as JSON calls it, but
    for those to be skipped.

    Its own names are numbers: parameters may be named as the model's methods are.
    """
    fields: dict[str, Any] = {}
    for index, parameter in enumerate(inspect.signature(func).parameters.values()):
        if parameter.name in skipped:
            continue
        annotation = _annotation(func, parameter)
        default = ... if parameter.default is parameter.empty else parameter.default
        if parameter.kind is Parameter.VAR_POSITIONAL:
            annotation, default = list[annotation], []  # type: ignore[valid-type]
        elif parameter.kind is Parameter.VAR_KEYWORD:
            annotation, default = dict[str, annotation], {}  # type: ignore[valid-type]
        fields[key_of(index)] = (annotation, Field(default, alias=parameter.name))
    return create_model(func.__qualname__, __config__=_CONFIG, **fields)


def key_of(index: int) -> str:
    """What the field for a parameter, by its place, is called in the model."""
    return f"p{index}"


def unchecked_parameters(workflow: Workflow[..., Any]) -> list[str]:
    """Parameters whose annotations cannot be found, or are nothing that can be checked:
    they take any value."""
    return [
        parameter.name
        for parameter in workflow.signature.parameters.values()
        if _annotation(workflow.func, parameter) is _UNKNOWN
    ]


def _annotation(func: Any, parameter: Parameter) -> Any:
    """What the parameter takes; anything, if that is not said."""
    if parameter.annotation is parameter.empty:
        return Any
    holder = types.SimpleNamespace(
        __annotations__={parameter.name: parameter.annotation}
    )
    try:
        names = inspect.unwrap(func).__globals__
        hints = typing.get_type_hints(holder, names, include_extras=True)
        annotation = hints[parameter.name]
        with warnings.catch_warnings():
            # What is no type at all; it would warn of it at each use.
            warnings.simplefilter("error", ArbitraryTypeWarning)
            create_model("Probe", __config__=_CONFIG, probe=(annotation, ...))
    except (
        NameError,
        AttributeError,
        TypeError,
        PydanticUserError,
        ArbitraryTypeWarning,
    ):
        return _UNKNOWN
    return annotation
