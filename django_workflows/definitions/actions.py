"""Actions: the code that steps of definitions name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar, overload

from asgiref.sync import async_to_sync

from django_workflows.definitions.classes import classes
from django_workflows.errors import UnknownCodeError

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

_registered: dict[str, Function] = {}
_problems: list[str] = []
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|-")


@overload
def action(name: str, /) -> Callable[[F], F]: ...
@overload
def action(name: F, /) -> F: ...
def action(name: Any, /) -> Any:
    """Register a function as an action for the steps of all definitions.

    ``@action("charge_card")``, or ``@action`` for the function's own name. It is called
    as ``(params)`` or ``(params, state)`` and may be async. Two functions of one name
    are an error at start-up.
    """
    if callable(name):
        return action(name.__name__)(name)

    def register(function: F) -> F:
        parameter_count(function)
        known = _registered.get(name)
        if known is not None and _place(known) != _place(function):
            _problems.append(
                f"Two actions are named {name!r}: {_place(known)} and "
                f"{_place(function)}."
            )
        _registered[name] = function
        return function

    return register


def find_action(definition_id: str, name: str) -> Function | None:
    """The action of this name for the steps of a definition: a method of its class,
    else a registered function; by its very name, else by that in snake_case."""
    owner = classes.get(definition_id)
    for candidate in dict.fromkeys((name, snake_case(name))):
        method = None if owner is None else owner.find_method(candidate)
        found = method or _registered.get(candidate)
        if found is not None:
            return found
    return None


def known_actions(definition_id: str) -> list[str]:
    """The names that steps of a definition may use."""
    owner = classes.get(definition_id)
    methods = [] if owner is None else owner.method_names()
    return sorted({*methods, *_registered})


def call_action(definition_id: str, name: str, params: Any, state: Any) -> Any:
    """Run an action to its end. Raises UnknownCodeError if this process has none of
    this name, and what the action raises."""
    function = find_action(definition_id, name)
    if function is None:
        raise UnknownCodeError(
            f"there is no action {name!r} for {definition_id!r} in this process; known "
            f"are {', '.join(known_actions(definition_id))}"
        )
    arguments = (params, state)[: parameter_count(function)]
    found = function(*arguments)
    return async_to_sync(_result)(found) if inspect.isawaitable(found) else found


def parameter_count(function: Function) -> int:
    """How many of `params, state` a function takes. Raises TypeError for one that
    cannot be called with either one or both."""
    signature = inspect.signature(function)
    for arguments in ((None, None), (None,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments)
    raise TypeError(
        f"an action is called as (params) or (params, state), which "
        f"{_place(function)} does not take: {signature}"
    )


def snake_case(name: str) -> str:
    """`validatePayment` as `validate_payment`."""
    return _WORD.sub("_", name).lower()


def action_problems() -> list[str]:
    """What is wrong with the registered actions, for the system checks."""
    return list(_problems)


async def _result(found: Any) -> Any:
    return await found


def _place(function: Function) -> str:
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


@action
def noop(params: Any) -> None:
    """Does nothing: for steps that only wait, or that others meet at."""
