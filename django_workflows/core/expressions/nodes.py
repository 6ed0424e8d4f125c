"""The parts of an expression, and how each is evaluated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from django_workflows.core.expressions.errors import (
    ExpressionError,
    MissingNameError,
    known,
)
from django_workflows.core.expressions.operators import (
    ARITHMETIC,
    COMPARISONS,
    describe,
    is_true,
    negative,
    plain,
    positive,
)

Scope = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression; `position` is where its text begins."""

    position: int

    def evaluate(self, scope: Scope) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Literal(Node):
    value: Any

    def evaluate(self, scope: Scope) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str

    def evaluate(self, scope: Scope) -> Any:
        try:
            return scope[self.name]
        except KeyError:
            raise MissingNameError(
                f"there is no {self.name!r}; {known(scope)}", self.position
            ) from None


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    items: tuple[Node, ...]

    def evaluate(self, scope: Scope) -> Any:
        return [item.evaluate(scope) for item in self.items]


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`owner.key`: what an object has under a key; `.length` of anything that has
    items."""

    owner: Node
    key: str

    def evaluate(self, scope: Scope) -> Any:
        owner = plain(self.owner.evaluate(scope))
        fields = _fields(owner)
        if fields is not None and self.key in fields:
            return fields[self.key]
        if self.key == "length" and isinstance(owner, _WITH_ITEMS):
            return len(owner)
        if fields is None:
            message = f"{describe(owner)} has no keys, so no {self.key!r}"
        else:
            message = f"there is no key {self.key!r}; {known(fields)}"
        raise MissingNameError(message, self.position)


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`owner[index]`: an item of a list or a text, or what is under a key."""

    owner: Node
    index: Node

    def evaluate(self, scope: Scope) -> Any:
        owner = plain(self.owner.evaluate(scope))
        index = plain(self.index.evaluate(scope))
        fields = _fields(owner)
        if fields is not None:
            if _is_key(index) and index in fields:
                return fields[index]
            message = f"there is no key {_shown(index)}; {known(fields)}"
            raise MissingNameError(message, self.position)
        if not isinstance(owner, list | tuple | str):
            raise ExpressionError(f"{describe(owner)} has no items", self.position)
        if type(index) is not int:
            raise ExpressionError(
                f"{describe(index)} is no index of {describe(owner)}", self.position
            )
        if not -len(owner) <= index < len(owner):
            raise MissingNameError(
                f"there is no item {index} among {len(owner)}", self.position
            )
        return owner[index]


@dataclass(frozen=True, slots=True)
class Not(Node):
    operand: Node

    def evaluate(self, scope: Scope) -> Any:
        return not is_true(self.operand.evaluate(scope))


@dataclass(frozen=True, slots=True)
class Signed(Node):
    sign: str
    operand: Node

    def evaluate(self, scope: Scope) -> Any:
        operand = self.operand.evaluate(scope)
        with_sign = negative if self.sign == "-" else positive
        return _at(self.position, with_sign, operand)


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    symbol: str
    left: Node
    right: Node

    def evaluate(self, scope: Scope) -> Any:
        left, right = self.left.evaluate(scope), self.right.evaluate(scope)
        return _at(self.position, ARITHMETIC[self.symbol], left, right)


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """`a < b <= c`, as Python has it: every pair has to hold."""

    first: Node
    others: tuple[tuple[str, Node], ...]

    def evaluate(self, scope: Scope) -> Any:
        left = self.first.evaluate(scope)
        for symbol, node in self.others:
            right = node.evaluate(scope)
            if not _at(self.position, COMPARISONS[symbol], left, right):
                return False
            left = right
        return True


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """`and` and `or`: the last operand that was looked at."""

    is_and: bool
    operands: tuple[Node, ...]

    def evaluate(self, scope: Scope) -> Any:
        value: Any = None
        for operand in self.operands:
            value = operand.evaluate(scope)
            if is_true(value) is not self.is_and:
                break
        return value


@dataclass(frozen=True, slots=True)
class Choice(Node):
    condition: Node
    when_true: Node
    otherwise: Node

    def evaluate(self, scope: Scope) -> Any:
        holds = is_true(self.condition.evaluate(scope))
        return (self.when_true if holds else self.otherwise).evaluate(scope)


_WITH_ITEMS = (str, bytes, list, tuple, set, frozenset, Mapping)


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """What a value has under keys; None if it has none. Properties are code: only what
    is stored counts."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        return {name: value.__dict__.get(name) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in fields}
    if isinstance(value, tuple):
        names: tuple[str, ...] | None = getattr(type(value), "_fields", None)
        return None if names is None else dict(zip(names, value, strict=True))
    return None


def _is_key(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | None)


def _shown(value: Any) -> str:
    return repr(value)[:100] if _is_key(value) else describe(value)


def _at(position: int, function: Any, *operands: Any) -> Any:
    """What an operator makes; its errors learn where it stands."""
    try:
        return function(*operands)
    except ExpressionError as error:
        error.position = position
        raise
