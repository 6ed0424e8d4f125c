"""What a round has to store, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


class RunWrite:
    """What a round has to store for one run. `events` are numbered already; those with
    a `row_id` were in the inbox, the others are new.

    One is made for each run of each round, and most have to say little.
    """

    started_us: int | None = None
    finished_us: int | None = None
    #: Give the run up: nobody owns it then, and it is due at `wake_us` by itself.
    release: bool = False
    wake_us: int | None = None
    is_waiting: bool = False
    #: Lift the suspicion that the run kills workers.
    trusted: bool = False
    has_hooks: bool = False
    family: Family | None = None
    #: All attributes of the run, where its code has set any.
    attributes: dict[str, Any] | None = None
    #: The run ends by continuing as new.
    successor: Successor | None = None
    #: It has been held up by what it claims: nobody else has to wait with it.
    is_held_up: bool = False

    def __init__(
        self,
        run_id: str,
        fence: int,
        status: str,
        last_seq: int,
        events: Sequence[LogEvent] = (),
    ) -> None:
        self.run_id = run_id
        self.fence = fence
        self.status = status
        self.last_seq = last_seq
        self.events: list[LogEvent] = [*events]
        self.steps: list[StepRow] = []
        self.cancelled_steps: list[str] = []
        self.claims: list[LogEvent] = []
        self.disposed: list[str] = []
        #: How steps have ended, for receivers of `step_finished`.
        self.ended_steps: list[dict[str, Any]] = []

    @property
    def goes_on(self) -> bool:
        """Whether it neither begins nor ends here, nor is given up."""
        return self.started_us is self.finished_us is None and not self.release

    @property
    def claims_names(self) -> bool:
        """Whether it claims tokens or keys, which others may be about to claim."""
        if self.family is None:
            return bool(self.claims)
        return bool(self.claims) or any(
            child.start.options.key is not None for child in self.family.started
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
    queues = set()
    for run in runs:
        for row in run.steps:
            if row.due_us is not None:
                queues.add(row.queue)
        if run.successor is not None:
            queues.add(run.successor.queue)
    return queues
