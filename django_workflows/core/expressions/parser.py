"""Reads expressions: Python's operators and JavaScript's, from the loosest down.

choice      a if b else c, a ? b : c
logic       or ||, and &&, not
comparison  == != === !== < <= > >= in, not in
arithmetic  + -, * / // %, signs and !, **
members     .key [index]
"""

from __future__ import annotations

from typing import Any

from django_workflows.core.expressions.errors import ExpressionError
from django_workflows.core.expressions.nodes import (
    Arithmetic,
    Choice,
    Comparison,
    Index,
    ListOf,
    Literal,
    Logic,
    Member,
    Name,
    Node,
    Not,
    Signed,
)
from django_workflows.core.expressions.tokens import Token

#: Parts of an expression within one another, and operators and keys in one.
DEEPEST = 30
MOST = 200

_CONSTANTS = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": None,
    "True": True,
    "False": False,
    "None": None,
}
_WORDS = frozenset(("and", "or", "not", "in", "if", "else"))
#: Words of the languages whose operators these are, which mean nothing here.
_REFUSED = frozenset(
    word
    for line in (
        "lambda for while def class return yield await async import from is",
        "function new typeof instanceof delete void var let const",
    )
    for word in line.split()
)
_COMPARISONS = frozenset(("==", "!=", "===", "!==", "<", "<=", ">", ">="))


class Parser:
    """Takes words, gives the expression that they are."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._taken = 0
        #: The names that the expression begins its paths with.
        self.names: dict[str, int] = {}
        #: Those of them that a key follows, with the key; None if it is computed.
        self.keys: set[tuple[str, Any]] = set()

    def parse(self) -> Node:
        """The whole expression. Raises ExpressionError."""
        if self._token.kind == "end":
            raise ExpressionError("an expression is missing", self._token.position)
        node = self._choice()
        if self._token.kind != "end":
            raise self._unexpected()
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> Token | None:
        """The next word, if it is one of these."""
        token = self._token
        if token.kind in ("name", "sign") and token.text in texts:
            self._at += 1
            self._taken += 1
            if self._taken > MOST:
                message = f"more than {MOST} operators and keys"
                raise ExpressionError(message, token.position)
            return token
        return None

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            found = self._token.text or "the end"
            raise ExpressionError(
                f"{text!r} is missing before {found!r}", self._token.position
            )

    def _unexpected(self) -> ExpressionError:
        token = self._token
        if token.kind == "end":
            return ExpressionError("something is missing at the end", token.position)
        if token.text == "(":
            return ExpressionError("nothing can be called", token.position)
        if token.text in _REFUSED:
            return ExpressionError(
                f"{token.text!r} is not part of expressions", token.position
            )
        return ExpressionError(f"{token.text!r} is not expected", token.position)

    def _choice(self) -> Node:
        self._descend()
        node = self._either()
        if token := self._take("?"):
            when_true = self._choice()
            self._need(":")
            node = Choice(token.position, node, when_true, self._choice())
        elif token := self._take("if"):
            condition = self._either()
            self._need("else")
            node = Choice(token.position, condition, node, self._choice())
        self._depth -= 1
        return node

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(
                f"more than {DEEPEST} levels within one another", self._token.position
            )

    def _either(self) -> Node:
        return self._logic(False, ("or", "||"), self._both)

    def _both(self) -> Node:
        return self._logic(True, ("and", "&&"), self._negation)

    def _logic(self, is_and: bool, words: tuple[str, ...], operand: Any) -> Node:
        first: Node = operand()
        operands = [first]
        while self._take(*words):
            operands.append(operand())
        if len(operands) == 1:
            return first
        return Logic(first.position, is_and, tuple(operands))

    def _negation(self) -> Node:
        negations = []
        while token := self._take("not"):
            negations.append(token.position)
        node = self._comparison()
        for position in reversed(negations):
            node = Not(position, node)
        return node

    def _comparison(self) -> Node:
        first = self._sum()
        others: list[tuple[str, Node]] = []
        while symbol := self._comparison_sign():
            others.append((symbol, self._sum()))
        if not others:
            return first
        return Comparison(first.position, first, tuple(others))

    def _comparison_sign(self) -> str | None:
        if token := self._take(*_COMPARISONS, "in"):
            return token.text
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if self._token.text == "not" and following.text == "in":
            self._at += 2
            return "not in"
        return None

    def _sum(self) -> Node:
        node = self._product()
        while token := self._take("+", "-"):
            node = Arithmetic(token.position, token.text, node, self._product())
        return node

    def _product(self) -> Node:
        node = self._signed()
        while token := self._take("*", "/", "//", "%"):
            node = Arithmetic(token.position, token.text, node, self._signed())
        return node

    def _signed(self) -> Node:
        signs = []
        while token := self._take("-", "+", "!"):
            signs.append(token)
        node = self._power()
        for token in reversed(signs):
            if token.text == "!":
                node = Not(token.position, node)
            else:
                node = Signed(token.position, token.text, node)
        return node

    def _power(self) -> Node:
        node = self._path()
        if token := self._take("**"):
            self._descend()
            node = Arithmetic(token.position, "**", node, self._signed())
            self._depth -= 1
        return node

    def _path(self) -> Node:
        node = self._primary()
        while token := self._take(".", "["):
            if token.text == "[":
                index = self._choice()
                self._note_key(
                    node, index.value if isinstance(index, Literal) else None
                )
                node = Index(token.position, node, index)
                self._need("]")
            else:
                key = self._key()
                self._note_key(node, key)
                node = Member(token.position, node, key)
        if self._token.text == "(" and self._token.kind == "sign":
            raise ExpressionError("nothing can be called", self._token.position)
        return node

    def _note_key(self, owner: Node, key: Any) -> None:
        if isinstance(owner, Name):
            self.keys.add((owner.name, key))

    def _key(self) -> str:
        token = self._token
        if token.kind != "name":
            raise ExpressionError("a key is missing after '.'", token.position)
        _refuse_dunder(token)
        self._at += 1
        return token.text

    def _primary(self) -> Node:
        token = self._token
        if token.kind in ("number", "text"):
            self._at += 1
            return Literal(token.position, token.value)
        if token.kind == "name" and token.text not in _WORDS | _REFUSED:
            self._at += 1
            if token.text in _CONSTANTS:
                return Literal(token.position, _CONSTANTS[token.text])
            _refuse_dunder(token)
            self.names.setdefault(token.text, token.position)
            return Name(token.position, token.text)
        if self._take("("):
            node = self._choice()
            self._need(")")
            return node
        if self._take("["):
            return self._list(token.position)
        raise self._unexpected()

    def _list(self, position: int) -> Node:
        items: list[Node] = []
        while not self._take("]"):
            if items:
                self._need(",")
                if self._take("]"):
                    break
            items.append(self._choice())
        return ListOf(position, tuple(items))


def _refuse_dunder(token: Token) -> None:
    if token.text.startswith("__"):
        raise ExpressionError(
            f"{token.text!r}: names that begin with __ are refused", token.position
        )
