"""Actions: the code that steps of definitions name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar, overload

from asgiref.sync import async_to_sync

from django_workflows.definitions.classes import DefinedWorkflow, classes
from django_workflows.errors import UnknownCodeError
from django_workflows.replay.actions import KnownActions, action_key

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

_registered: dict[str, Function] = {}
_problems: list[str] = []
_BUILT_IN = {"noop"}
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
    methods = [] if owner is None else owner.method_names()
    for candidate in dict.fromkeys((name, snake_case(name))):
        if owner is not None and candidate in methods:
            return owner.find_method(candidate)
        if candidate in _registered:
            return _registered[candidate]
    for known in (*methods, *_registered):
        if snake_case(known) == snake_case(name):
            return find_action(definition_id, known)
    return None


def known_actions(definition_id: str) -> list[str]:
    """The names that steps of a definition may use."""
    owner = classes.get(definition_id)
    methods = [] if owner is None else owner.method_names()
    return sorted({*methods, *_registered})


def key_of(definition_id: str, name: str) -> str:
    """What a call of an action is known by to who may run it; empty for what is built
    in, which every process has."""
    action_name = snake_case(name)
    return "" if action_name in _BUILT_IN else action_key(action_name, definition_id)


def actions_here() -> KnownActions:
    """The actions of this process, but for what is built in."""
    return _actions_of(tuple(_registered), tuple(classes.all()))


@lru_cache(maxsize=8)
def _actions_of(
    names: tuple[str, ...], owners: tuple[type[DefinedWorkflow], ...]
) -> KnownActions:
    common = {snake_case(name) for name in names} - _BUILT_IN
    return KnownActions(
        common=tuple(sorted(common)),
        owned=tuple(
            (snake_case(name), owner.id)
            for owner in owners
            for name in owner.method_names()
        ),
    )


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


@lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """`validatePayment` as `validate_payment`."""
    return _WORD.sub("_", name).lower()


def action_problems() -> list[str]:
    """What is wrong with the registered actions, for the system checks."""
    return [*_problems, *_taken_names()]


def _taken_names() -> Iterator[str]:
    """Who runs an action that is built in is nobody's choice, so no other may have its
    name."""
    for defined in classes.all():
        for name in defined.method_names():
            if snake_case(name) in _BUILT_IN:
                yield (
                    f"The action {name!r} of the definition {defined.id!r} has the "
                    "name of one that is built in."
                )
    for name, function in _registered.items():
        if snake_case(name) in _BUILT_IN and name not in _BUILT_IN:
            yield (
                f"The action {name!r} ({_place(function)}) has the name of one that "
                "is built in."
            )


async def _result(found: Any) -> Any:
    return await found


def _place(function: Function) -> str:
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


@action
def noop(params: Any) -> None:
    """Does nothing: for steps that only wait, or that others meet at."""
