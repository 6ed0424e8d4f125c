"""What a run does, one operation after the other, as people see it: steps with their
attempts, timers, hooks and children."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

OPEN = "open"


@dataclass(slots=True)
class Attempt:
    """One attempt of a step. ``error`` has the type and message of what it raised."""

    number: int
    started_at: datetime
    finished_at: datetime | None = None
    #: ``running`` or ``completed``; ``cancelled`` or ``failed``; ``timed_out``; or why
    #: another one follows: ``error``, ``crash``, ``shutdown`` and the like.
    outcome: str = "running"
    error: dict[str, str] | None = None
    #: When the next one begins, at the earliest.
    retry_at: datetime | None = None
    worker: str = ""
    #: The row of the event with the error, if there is one.
    error_row: int | None = None


@dataclass(slots=True)
class Operation:
    """A step, a wait, a hook or a child, from the call in workflow code to its end."""

    kind: str
    id: str
    #: The name of a step or child's workflow, the kind of a wait; hooks have none.
    name: str
    #: The number of the event that begins it; None if that is not in the log yet.
    seq: int | None
    created_at: datetime
    status: str = OPEN
    finished_at: datetime | None = None
    attempts: list[Attempt] = field(default_factory=list)
    error: dict[str, str] | None = None
    #: When a wait is over.
    due_at: datetime | None = None
    #: The child.
    run_id: str = ""
    #: Payloads that a hook has received.
    received: int = 0
    #: What the workflow said about a hook, as JSON data.
    metadata: Any = None
    #: The rows of the events that begin and end it.
    begin_row: int | None = None
    end_row: int | None = None

    @property
    def is_open(self) -> bool:
        return self.finished_at is None

    @property
    def sleeps(self) -> bool:
        """Whether it is a sleep that goes on, which a wake would end."""
        return self.is_open and (self.kind, self.name) == ("wait", "sleep")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: what there is of it."""
        shown: dict[str, Any] = {
            "kind": self.kind,
            "id": self.id,
            "name": self.name,
            "seq": self.seq,
            "status": self.status,
            "created_at": self.created_at.isoformat(),
            "finished_at": _iso(self.finished_at),
        }
        if self.kind == "step":
            shown["error"] = self.error
            shown["attempts"] = [
                {
                    "number": attempt.number,
                    "outcome": attempt.outcome,
                    "started_at": attempt.started_at.isoformat(),
                    "finished_at": _iso(attempt.finished_at),
                    "retry_at": _iso(attempt.retry_at),
                    "error": attempt.error,
                }
                for attempt in self.attempts
            ]
        elif self.kind == "wait":
            shown["due_at"] = _iso(self.due_at)
        elif self.kind == "hook":
            shown |= {"received": self.received, "metadata": self.metadata}
        else:
            shown |= {"run_id": self.run_id, "error": self.error}
        return shown


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was asked of a run from outside, and when: a type of event."""

    type: str
    time: datetime
    seq: int | None
    #: Of a retry in place: the number of the first event that it has made void, and
    #: when that happened.
    cut: int | None = None
    cut_at: datetime | None = None


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
