"""In whose name something is done to runs, as their own logs tell it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

#: How somebody has come. Who sits at the command line is named without it.
ADMIN: Final = "admin"
API: Final = "api"
COMMAND_LINE: Final = ""

_author: ContextVar[Mapping[str, str] | None] = ContextVar(
    "django_workflows_author", default=None
)


@contextmanager
def done_by(name: str, way: str) -> Iterator[None]:
    """Let what is done to runs meanwhile be this user's; nobody's without a name."""
    said = {"by": name, "way": way}
    token = _author.set({key: said[key] for key in said if name and said[key]})
    try:
        yield
    finally:
        _author.reset(token)


def author() -> dict[str, str]:
    """What the details of an event say of who causes it; nothing if nobody is known."""
    return dict(_author.get() or {})
