"""The words of an expression."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django_workflows.core.expressions.errors import ExpressionError

#: Characters of one expression.
LONGEST = 4000
#: Digits of a number.
_MOST_DIGITS = 100

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<sign>===|!==|\*\*|//|==|!=|<=|>=|&&|\|\||[-+*/%<>!()\[\].,?:])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word: what kind it is of, how it is written, what it means, where it is."""

    kind: str
    text: str
    value: Any
    position: int


def tokenize(text: str, start: int = 0, closing: str = "") -> tuple[list[Token], int]:
    """The words from `start` to the end, or to `closing`; and where that is.

    Raises ExpressionError for what is none.
    """
    found: list[Token] = []
    position = start
    while position < len(text) and not (closing and text.startswith(closing, position)):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionError(_misunderstood(text, position), position)
        if position - start > LONGEST:
            raise ExpressionError(f"longer than {LONGEST} characters")
        kind = match.lastgroup or ""
        if kind != "space":
            word = match.group()
            found.append(Token(kind, word, _meaning(kind, word, position), position))
        position = match.end()
    if position - start > LONGEST:
        raise ExpressionError(f"longer than {LONGEST} characters")
    found.append(Token("end", "", None, position))
    return found, position


def _misunderstood(text: str, position: int) -> str:
    character = text[position]
    if character in "\"'":
        return "a text without an end"
    if character == "=":
        return "nothing can be assigned; equal is =="
    return f"{character!r} means nothing here"


def _meaning(kind: str, word: str, position: int) -> Any:
    if kind == "number":
        if len(word) > _MOST_DIGITS:
            raise ExpressionError(f"a number of over {_MOST_DIGITS} digits", position)
        return int(word) if word.isdecimal() else float(word)
    if kind == "text":
        return _ESCAPE.sub(_unescape, word[1:-1])
    return None


def _unescape(match: re.Match[str]) -> str:
    unicode, latin, single = match.groups()
    if single is None:
        return chr(int(unicode or latin, 16))
    return _ESCAPED.get(single, single)
