"""The log with which a fork of a run begins: pure functions on lists.

It is the original's effective history up to the edge of a burst. What has no outcome
there gets an id of its own and is issued anew. Steps that have failed, or were
cancelled, get one too: a retry of the fork may run them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django_workflows.core.ids import derive_id, timed_id
from django_workflows.replay import events as log
from django_workflows.replay.cuts import Open, is_delivered, open_after
from django_workflows.replay.events import LogEvent
from django_workflows.replay.secrets import SEED_BYTES, derive, hook_token

#: Entries that tell of attempts: those of an operation that is issued anew are void.
_ATTEMPTS = (log.STEP_STARTED, log.STEP_RETRYING, log.STEP_TIMED_OUT)
#: Whether it stood still is the original's affair.
_LEFT_OUT = (log.RUN_PAUSED, log.RUN_RESUMED)
_MOST_TOLD = 20


@dataclass(slots=True)
class Fork:
    """How a fork begins. Entries are numbered; `row_id` tells whose payload is theirs.

    `delivered` is what the fork is given first, or None if it begins with its start.
    """

    events: list[LogEvent]
    delivered: LogEvent | None
    open: Open
    seed: bytes
    #: Children to be started anew: the original's, by id, and the calls of the fork.
    children: list[tuple[str, LogEvent]]
    #: Those of the calls whose child the code has asked to stop.
    cancelled: set[str]
    #: As of the end of the copied log.
    attempt: int = 1
    epoch: int = 0

    @property
    def has_begun(self) -> bool:
        return any(event.type == log.RUN_STARTED for event in self.events)


@dataclass(slots=True)
class Edge:
    """Where an entry copied by a fork was the last one.

    Times in microseconds: of the entry that the original went on with, and of the fork.
    """

    until: int
    cut_us: int
    time_us: int


def edges_of(created: LogEvent) -> list[Edge]:
    """The edges in a log that begins so: none, unless the run is a fork."""
    return [Edge(*edge) for edge in created.detail.get("edges", ())]


def cut_before(
    effective: Sequence[LogEvent], whole: Sequence[LogEvent], from_step: str | int
) -> int:
    """How many entries of an effective history come before the burst in which a step
    was called, or an entry was recorded.

    `from_step` is a step's id or the number of an entry. Raises ValueError, naming
    what there is, for anything else.
    """
    position = _position(effective, whole, from_step)
    bursts = [n for n, event in enumerate(effective) if is_delivered(event)]
    before = [n for n in bursts if n <= position]
    return (before or bursts or [1])[-1 if before else 0]


def _position(
    effective: Sequence[LogEvent], whole: Sequence[LogEvent], from_step: str | int
) -> int:
    if isinstance(from_step, int) and not isinstance(from_step, bool):
        for position, event in enumerate(effective):
            if event.seq == from_step:
                return position
        if 1 <= from_step <= len(whole):
            raise ValueError(
                f"event {from_step} is void since a retry: fork from one that counts"
            )
        raise ValueError(
            f"there is no event {from_step}: the events are 1 to {len(whole)}"
        )
    calls = [
        (position, event)
        for position, event in enumerate(effective)
        if event.type == log.STEP_CREATED
    ]
    for position, event in calls:
        if event.correlation_id == from_step:
            return position
    told = [
        f"{event.correlation_id} ({event.detail.get('name')}, event {event.seq})"
        for _, event in calls
    ]
    more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    raise ValueError(
        f"there is no step {from_step!r}: the steps are "
        + (", ".join(told[:_MOST_TOLD]) + more or "none so far")
    )


def fork_log(
    effective: Sequence[LogEvent],
    cut: int,
    *,
    run_id: str,
    seed: bytes,
    fork_id: str,
    fork_seed: bytes,
    now_us: int,
) -> Fork:
    """The first `cut` entries of a run's effective history, made a fork's log."""
    prefix = list(effective[:cut])
    following = effective[cut] if cut < len(effective) else None
    if following is not None and not is_delivered(following):
        following = None  # the run was ended before it began
    opened = open_after(prefix)
    if following is not None and following.type != log.HOOK_RECEIVED:
        opened.take(following)  # its outcome is what the fork is given first
    last = prefix[-1].seq or 0
    edges = [edge for edge in edges_of(prefix[0]) if edge.until < last]
    seeds = seed[: SEED_BYTES * (len(edges) + 1)] + fork_seed
    without_result = {
        event.correlation_id
        for event in effective[: cut + 1]
        if event.type in (log.STEP_FAILED, log.STEP_CANCELLED)
    }
    rewrite = _Rewriting(run_id, fork_id, fork_seed, opened, without_result, now_us)
    fork = Fork([], None, rewrite.opened, seeds, [], set())
    numbers: dict[int, int] = {}
    for event in prefix:
        copy = rewrite.copy(event)
        if copy is not None:
            fork.events.append(copy)
            copy.seq = len(fork.events)
            if event.type == log.CHILD_CREATED and event.correlation_id in rewrite.ids:
                fork.children.append((event.detail["run_id"], copy))
            elif event.type == log.CHILD_CANCEL_REQUESTED:
                fork.cancelled.add(copy.correlation_id)
        numbers[event.seq or 0] = len(fork.events)
        if event.type == log.RUN_RETRIED and copy is not None:
            fork.attempt, fork.epoch = event.detail["attempt"], event.detail["epoch"]
            copy.detail = {**copy.detail, "cut": copy.seq}
    cut_us = prefix[-1].time if following is None else following.time
    until = len(fork.events)
    detail: dict[str, Any] = {"forked_from": run_id, "until": until}
    if until == 1:
        fork.seed = fork_seed  # nothing that was decided by chance is copied
    else:
        detail["edges"] = [
            *([_number(numbers, e.until), e.cut_us, e.time_us] for e in edges),
            [until, cut_us, now_us],
        ]
    fork.events[0].detail = detail
    if following is not None and following.type != log.RUN_STARTED:
        fork.delivered = rewrite.copy(following)
    return fork


def _number(numbers: dict[int, int], seq: int) -> int:
    """Where the entry with this number, or the last one before it, has gone."""
    return max(new for old, new in numbers.items() if old <= seq)


class _Rewriting:
    """Copies entries: what is open gets ids, and tokens, of the fork's own."""

    def __init__(
        self,
        run_id: str,
        fork_id: str,
        fork_seed: bytes,
        opened: Open,
        without_result: Iterable[str],
        now_us: int,
    ) -> None:
        self.now_us = now_us
        self.children = 0
        self.run_id = run_id
        self.fork_id = fork_id
        self.fork_seed = fork_seed
        self.opened = Open()
        self.ids: dict[str, str] = {
            key: derive_id("step", fork_id, "fork", key) for key in without_result
        }
        self.issued_anew: set[str] = set()
        for kind, calls in (
            ("step", opened.steps),
            ("wait", opened.waits),
            ("hook", opened.hooks),
            ("child", opened.children),
        ):
            for key in calls:
                self.ids[key] = derive_id(kind, fork_id, "fork", key)
                self.issued_anew.add(key)

    def copy(self, event: LogEvent) -> LogEvent | None:
        """The entry as it is in the fork; None if it has no place there."""
        key = event.correlation_id
        if event.type in _LEFT_OUT or event.detail.get("late"):
            return None
        if event.type in _ATTEMPTS and key in self.issued_anew:
            return None
        copy = LogEvent(
            event.type,
            self.ids.get(key, key),
            time=event.time,
            detail=dict(event.detail),
            payload=event.payload,
            row_id=event.row_id,
        )
        if event.type == log.RUN_RETRIED:
            self._rename_attempts(copy)
        elif event.type in (log.HOOK_CREATED, log.HOOK_CONFLICT, log.HOOK_CARRIED):
            self._rename_token(event, copy)
        elif event.type in (log.CHILD_CREATED, log.CHILD_CANCEL_REQUESTED):
            self._rename_child(event, copy)
        if key in self.ids:
            self.opened.take(copy)
        return copy

    def _rename_attempts(self, copy: LogEvent) -> None:
        """Attempts go on to be counted, but for those of what is issued anew."""
        attempts = copy.detail.get("attempts", {})
        kept = {
            self.ids.get(key, key): number
            for key, number in attempts.items()
            if key not in self.issued_anew
        }
        copy.detail = {**copy.detail, "attempts": kept}

    def _rename_child(self, event: LogEvent, copy: LogEvent) -> None:
        """A child without an outcome is started anew, as another run."""
        detail = dict(event.detail)
        if event.type == log.CHILD_CREATED and event.correlation_id in self.ids:
            secret = derive(self.fork_seed, "child", copy.correlation_id)
            self.children += 1
            detail["run_id"] = timed_id(
                "wrun", self.now_us // 1000, self.children, secret
            )
        if "follows" in detail:
            detail["follows"] = self.ids.get(detail["follows"], detail["follows"])
        copy.detail = detail

    def _rename_token(self, event: LogEvent, copy: LogEvent) -> None:
        """A token that was made for the run, or out of its id, is made anew."""
        detail = dict(event.detail)
        name = detail.get("name", "")
        is_generated = event.type != log.HOOK_CARRIED and not name
        if is_generated and copy.correlation_id != event.correlation_id:
            detail["token"] = hook_token(self.fork_seed, copy.correlation_id)
        elif name:
            for key in ("name", "token"):
                detail[key] = detail[key].replace(self.run_id, self.fork_id)
        copy.detail = detail
