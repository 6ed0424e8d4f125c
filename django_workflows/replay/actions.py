"""Which steps a process can run: their code, and that of the actions their calls name.

A step may run code that its calls name, as that of definitions does. The row of such a
call says so in its name, so that a worker that does not know the action leaves it to
one that does:

    <step>:<action>@<owner>

An action is known for one owner, or for all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

#: Characters of each part that are kept as they are.
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class KnownActions:
    """The actions of one step that a process can run."""

    #: For all owners.
    common: tuple[str, ...]
    #: For one owner each: the action, and whose it is.
    owned: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class KnownSteps:
    """The names of the rows that a process can run."""

    names: tuple[str, ...]
    #: What names with any owner begin with.
    beginnings: tuple[str, ...] = ()

    def __contains__(self, row_name: str) -> bool:
        return row_name in self._names or _beginning(row_name) in self._beginnings

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        return frozenset(self.beginnings)


@lru_cache(maxsize=8)
def known_steps(
    steps: tuple[str, ...], actions: tuple[tuple[str, KnownActions], ...]
) -> KnownSteps:
    """What a process can run that knows these steps, and these actions of steps."""
    names, beginnings = [*steps], []
    for step, known in actions:
        names += [row_name(step, action_key(*each)) for each in known.owned]
        beginnings += [row_name(step, _part(action)) for action in known.common]
    return KnownSteps(tuple(names), tuple(beginnings))


def row_name(step: str, action: str) -> str:
    """The name of a call's row; `action` is an `action_key`, or empty."""
    return f"{step}:{action}" if action else step


def action_key(action: str, owner: str) -> str:
    """An action and whose it is, as the name of a row has them."""
    return f"{_part(action)}@{_part(owner)}"


def parts_of(row_name: str) -> tuple[str, str]:
    """The step and the action in the name of the row of a call that has one."""
    step, _colon, action = _beginning(row_name).partition(":")
    return step, action


def _beginning(row_name: str) -> str:
    return row_name.partition("@")[0]


def _part(text: str) -> str:
    """The text, or a hash of one that the name of a row does not hold as it is."""
    if len(text) <= _LONGEST and text.isprintable() and "@" not in text:
        return text
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
