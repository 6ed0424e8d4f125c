"""Arguments by the names of the parameters, of whatever kind these are: for forms."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from django_workflows.core.problems import problems_by_field
from django_workflows.replay.arguments import ArgumentsError, key_of, model_of
from django_workflows.replay.definitions import Workflow

POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY
VAR_POSITIONAL = inspect.Parameter.VAR_POSITIONAL
VAR_KEYWORD = inspect.Parameter.VAR_KEYWORD


def check_named_arguments(
    workflow: Workflow[..., Any],
    values: Mapping[str, Any],
    skipped: Collection[str] = (),
) -> dict[str, Any]:
    """Plain JSON values as values of the types that the workflow's annotations name.

    ``*args`` is a list under its name, ``**kwargs`` an object. Nothing is asked of the
    parameters that are to be skipped. Raises ArgumentsError.
    """
    model = model_of(workflow.func, frozenset(skipped))
    try:
        # As text: then it is by JSON's rules, which has no words for dates and sets.
        checked = model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise ArgumentsError(problems_by_field(error)) from None
    return {
        name: getattr(checked, key_of(index))
        for index, name in enumerate(workflow.signature.parameters)
        if key_of(index) in checked.model_fields_set
    }


def argument_as_json(workflow: Workflow[..., Any], name: str, value: Any) -> Any:
    """The value of a parameter as JSON from which `check_named_arguments` could make
    it; for some values it makes others.

    Raises ValueError for a value that is no JSON at all.
    """
    names = list(workflow.signature.parameters)
    others = frozenset(names) - {name}
    key = key_of(names.index(name))
    holder = model_of(workflow.func, others).model_construct(**{key: value})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is another type than it should be
        # A model knows which of its fields were given.
        return holder.model_dump(mode="json", exclude_unset=True)[key]


def named_arguments(
    workflow: Workflow[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by the names of the parameters. Raises TypeError if they
    do not fit the signature."""
    named = dict(workflow.signature.bind(*args, **kwargs).arguments)
    for name, parameter in workflow.signature.parameters.items():
        if name in named and parameter.kind is VAR_POSITIONAL:
            named[name] = list(named[name])
    return named


def call_with(
    workflow: Workflow[..., Any], values: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call that gives these values, checked by now, to the parameters of these
    names. All that can go by their names do; defaults fill gaps before one that
    cannot."""
    parameters = list(workflow.signature.parameters.values())
    last = max(
        (
            index
            for index, parameter in enumerate(parameters)
            if (parameter.kind is POSITIONAL_ONLY and parameter.name in values)
            or (parameter.kind is VAR_POSITIONAL and values.get(parameter.name))
        ),
        default=-1,
    )
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for index, parameter in enumerate(parameters):
        if parameter.kind is VAR_POSITIONAL:
            args += values.get(parameter.name, [])
        elif parameter.kind is VAR_KEYWORD:
            kwargs |= values.get(parameter.name, {})
        elif index <= last:
            args.append(values.get(parameter.name, parameter.default))
        elif parameter.name in values:
            kwargs[parameter.name] = values[parameter.name]
    return tuple(args), kwargs
