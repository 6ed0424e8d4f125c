"""An expression that has been read, ready to be evaluated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django_workflows.core.expressions.errors import (
    ExpressionError,
    MissingNameError,
    known,
)
from django_workflows.core.expressions.nodes import Node
from django_workflows.core.expressions.operators import is_true
from django_workflows.core.expressions.parser import Parser
from django_workflows.core.expressions.tokens import Token, tokenize


class Expression:
    """An expression over named data.

    ``names`` are those that its paths begin with, ``keys`` the pairs of a name and the
    key that follows it: `score` and `risk` in `score.risk`. The key is None if it is
    computed.
    """

    def __init__(self, text: str, node: Node, parser: Parser) -> None:
        self.text = text
        self._node = node
        self._positions: Mapping[str, int] = parser.names
        self.names = frozenset(parser.names)
        self.keys = frozenset(parser.keys)

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The value, with the data that names stand for.

        Raises MissingNameError for a name, key or item that is not there, and
        ExpressionError for what is not possible.
        """
        try:
            return self._node.evaluate(scope)
        except ExpressionError as error:
            raise error.within(self.text) from None
        except RecursionError:
            raise ExpressionError("the data are nested too deeply").within(
                self.text
            ) from None

    def holds(self, scope: Mapping[str, Any]) -> bool:
        """Whether the value is true: not null, false, 0 or empty."""
        return is_true(self.evaluate(scope))

    def check_names(self, allowed: Collection[str]) -> None:
        """Raise MissingNameError for a name that will never be there."""
        for name, position in self._positions.items():
            if name not in allowed:
                message = f"there is no {name!r}; {known(allowed)}"
                raise MissingNameError(message, position).within(self.text)

    def __repr__(self) -> str:
        return f"<expression {self.text}>"


def compile_expression(text: str) -> Expression:
    """Read an expression. Raises ExpressionError, naming the place."""
    if not isinstance(text, str):
        raise ExpressionError(f"an expression is a text, not {type(text).__name__}")
    try:
        tokens, _ = tokenize(text)
        return parse(text, tokens)
    except ExpressionError as error:
        raise error.within(text) from None


def parse(text: str, tokens: list[Token]) -> Expression:
    """The expression that some words are. Raises ExpressionError."""
    parser = Parser(tokens)
    node = parser.parse()
    return Expression(text, node, parser)
