"""What can be wrong with an expression."""

from __future__ import annotations

from collections.abc import Iterable

#: Names that a message lists, and characters of a text that it repeats.
_LISTED = 20
_SHOWN = 100


class ExpressionError(ValueError):
    """An expression cannot be understood, or not be evaluated with the data there is.

    `position` counts characters of the text from 0; None if no place is to blame.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position

    def within(self, text: str) -> ExpressionError:
        """This error, naming the whole expression that it is in."""
        where = "" if self.position is None else f" at character {self.position + 1}"
        shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
        error = type(self)(f"{self}{where} in {shown!r}")
        error.position = self.position
        return error


class MissingNameError(ExpressionError):
    """A name or a key is not there; the message lists those that are."""


def known(names: Iterable[object]) -> str:
    """The names there are, for the end of a message."""
    listed = sorted(map(str, names))
    if not listed:
        return "there are none"
    more = ", …" if len(listed) > _LISTED else ""
    return f"there are: {', '.join(listed[:_LISTED])}{more}"
