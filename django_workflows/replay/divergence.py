"""Code that does something else than its log says, in words."""

from __future__ import annotations

from collections.abc import Sequence

from django_workflows.errors import NonDeterminismError
from django_workflows.replay.events import LogEvent
from django_workflows.replay.patches import advice


def divergence(
    workflow: str,
    what: str,
    left: Sequence[LogEvent],
    event: LogEvent | None,
    location: tuple[str, int],
) -> NonDeterminismError:
    """The error of a run whose code is at `location` when `event` is delivered.

    `left` are the entries of the log that have no partner in the code.
    """
    file, line = location
    unfitting = left[0] if left else event
    return NonDeterminismError(
        f"{workflow} no longer follows its log: {what} ({file}:{line}). "
        + advice(left),
        file=file,
        line=line,
        seq=None if unfitting is None else unfitting.seq,
    )


def told_all(events: Sequence[LogEvent]) -> str:
    return " and ".join(map(told, events[:3])) or "nothing more"


def told(event: LogEvent) -> str:
    number = "" if event.seq is None else f" (event {event.seq})"
    return f"{event.type} {event.subject}".strip() + number
