"""What a round has to store, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django_workflows.replay.events import LogEvent
from django_workflows.replay.starts import Start


@dataclass(slots=True)
class StepRow:
    """A Step row as it shall be. Times in microseconds since the epoch."""

    id: str
    run_id: str
    name: str
    status: str
    queue: str
    priority: int
    attempt: int
    errors: int
    crashes: int
    suspect: bool
    worker: str
    due_us: int | None
    created_us: int
    started_us: int | None
    finished_us: int | None
    args: bytes | None
    options: str
    #: What its limits are counted by; empty without limits.
    limit_key: str = ""
    #: Details for the next attempt, encoded.
    heartbeat: bytes | None = None


@dataclass(slots=True)
class Successor:
    """The run in which one that has continued as new goes on."""

    id: str
    queue: str
    #: The encoded arguments.
    input: bytes
    #: What hooks have received and nobody has read: the hook and the encoded payload.
    unread: list[tuple[str, bytes]]


@dataclass(slots=True)
class NewChild:
    """A child to insert. Under a key that is held, `event` will say so."""

    event: LogEvent
    start: Start


@dataclass(slots=True)
class Family:
    """What a round has to do for the relatives of a run that has any."""

    root_id: str
    #: When the run has to have ended, and its children with it.
    deadline_us: int | None
    #: Runs before it may have left children.
    is_successor: bool
    started: list[NewChild] = field(default_factory=list)
    cancelled: list[LogEvent] = field(default_factory=list)
    #: The run has ended, and a parent or children have to know.
    has_ended: bool = False


@dataclass(slots=True)
class RunWrite:
    """What a round has to store for one run. `events` are numbered already; those with
    a `row_id` were in the inbox, the others are new."""

    run_id: str
    fence: int
    status: str
    last_seq: int
    events: list[LogEvent] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    cancelled_steps: list[str] = field(default_factory=list)
    started_us: int | None = None
    finished_us: int | None = None
    #: Give the run up: nobody owns it then, and it is due at `wake_us` by itself.
    release: bool = False
    wake_us: int | None = None
    is_waiting: bool = False
    #: Lift the suspicion that the run kills workers.
    trusted: bool = False
    has_hooks: bool = False
    claims: list[LogEvent] = field(default_factory=list)
    disposed: list[str] = field(default_factory=list)
    #: How steps have ended, for receivers of `step_finished`.
    ended_steps: list[dict[str, Any]] = field(default_factory=list)
    family: Family | None = None
    #: All attributes of the run, where its code has set any.
    attributes: dict[str, Any] | None = None
    #: The run ends by continuing as new.
    successor: Successor | None = None
    #: It has been held up by what it claims: nobody else has to wait with it.
    is_held_up: bool = False

    @property
    def claims_names(self) -> bool:
        """Whether it claims tokens or keys, which others may be about to claim."""
        children = self.family.started if self.family else ()
        return bool(self.claims) or any(
            child.start.options.key is not None for child in children
        )


@dataclass(slots=True)
class RoundOutcome:
    """What became of each run of a round."""

    stored: set[str]
    #: Runs that are somebody else's by now; what they did in this round is void.
    lost: set[str]
    #: Runs whose row was locked: offer them again in the next round.
    busy: set[str]


def queues_with_offers(runs: Iterable[RunWrite]) -> set[str]:
    """The queues of steps and runs that anybody may take once the round is stored."""
    queues = {row.queue for run in runs for row in run.steps if row.due_us is not None}
    return queues | {run.successor.queue for run in runs if run.successor is not None}
