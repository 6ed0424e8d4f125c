"""Values with ``{{ }}`` in their texts, at any depth."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django_workflows.core.expressions.compiled import Expression, parse
from django_workflows.core.expressions.errors import ExpressionError
from django_workflows.core.expressions.operators import MOST_ITEMS, plain
from django_workflows.core.expressions.tokens import tokenize

#: Levels of lists and objects within one another.
DEEPEST = 50
_OPENING, _CLOSING = "{{", "}}"


class Template:
    """A value in which texts may hold ``{{ expression }}``.

    A text that is nothing but one of these becomes its value, whatever its type; within
    other text it becomes text. What comes out is not looked at for more.
    """

    def __init__(self, value: Any) -> None:
        self._made = _compile(value, 0)

    def render(self, scope: Mapping[str, Any]) -> Any:
        """The value with its expressions evaluated. Raises ExpressionError."""
        return _render(self._made, scope)

    def check_names(self, allowed: Collection[str]) -> None:
        """Raise MissingNameError for a name that will never be there."""
        for expression in self.expressions():
            expression.check_names(allowed)

    def expressions(self) -> Iterator[Expression]:
        """Every expression in the value."""
        yield from _expressions(self._made)


class _Text:
    """A text in pieces: what stays as it is, and expressions."""

    def __init__(self, pieces: list[str | Expression]) -> None:
        self.pieces = pieces

    def render(self, scope: Mapping[str, Any]) -> Any:
        if len(self.pieces) == 1 and isinstance(self.pieces[0], Expression):
            return self.pieces[0].evaluate(scope)
        text = "".join(
            piece if isinstance(piece, str) else _as_text(piece.evaluate(scope))
            for piece in self.pieces
        )
        if len(text) > MOST_ITEMS:
            raise ExpressionError(f"a text of over {MOST_ITEMS} characters")
        return text


def compile_template(value: Any) -> Template:
    """Read the expressions in a value. Raises ExpressionError, naming the place."""
    return Template(value)


def _compile(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ExpressionError(f"more than {DEEPEST} levels within one another")
    if isinstance(value, str):
        return _compile_text(value) if _OPENING in value else value
    if isinstance(value, Mapping):
        return {key: _compile(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_compile(each, depth + 1) for each in value]
    return value


def _compile_text(text: str) -> _Text:
    pieces: list[str | Expression] = []
    at = 0
    try:
        while (opening := text.find(_OPENING, at)) >= 0:
            if opening > at:
                pieces.append(text[at:opening])
            tokens, end = tokenize(text, opening + len(_OPENING), _CLOSING)
            if not text.startswith(_CLOSING, end):
                raise ExpressionError("'}}' is missing", opening)
            pieces.append(parse(text, tokens))
            at = end + len(_CLOSING)
    except ExpressionError as error:
        raise error.within(text) from None
    if at < len(text):
        pieces.append(text[at:])
    if "".join(piece for piece in pieces if isinstance(piece, str)).strip():
        return _Text(pieces)
    only = [piece for piece in pieces if isinstance(piece, Expression)]
    # Spaces around it do not make it another kind of value.
    return _Text([only[0]] if len(only) == 1 else pieces)


def _render(made: Any, scope: Mapping[str, Any]) -> Any:
    if isinstance(made, _Text):
        return made.render(scope)
    if isinstance(made, dict):
        return {key: _render(each, scope) for key, each in made.items()}
    if isinstance(made, list):
        return [_render(each, scope) for each in made]
    return made


def _expressions(made: Any) -> Iterator[Expression]:
    if isinstance(made, _Text):
        for piece in made.pieces:
            if isinstance(piece, Expression):
                yield piece
    elif isinstance(made, dict):
        for each in made.values():
            yield from _expressions(each)
    elif isinstance(made, list):
        for each in made:
            yield from _expressions(each)


def _as_text(value: Any) -> str:
    """How a value reads within a text: as JSON has it, without quotes around texts."""
    value = plain(value)
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool | list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
