"""Where the time of a run went.

Each moment between a run's start and its end counts once, for what it was most of all:
a moment in which a step is at work while a timer runs is the step's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.durations import in_words
from django_workflows.admin.run_page.subject import Subject
from django_workflows.replay import events as log
from django_workflows.store.operations import Mark, Operation

#: What time can be spent on, the foremost first.
KINDS: dict[str, str | Promise] = {
    "void": gettext_lazy("what retries of the run made void"),
    "blocked": gettext_lazy("being blocked"),
    "before": gettext_lazy("waiting to begin"),
    "step": gettext_lazy("work in steps"),
    "paused": gettext_lazy("being paused"),
    "retry": gettext_lazy("delays before steps were tried again"),
    "worker": gettext_lazy("steps waiting for a worker"),
    "child": gettext_lazy("waiting for child runs"),
    "hook": gettext_lazy("waiting for payloads of hooks"),
    "wait": gettext_lazy("sleeping and timers"),
    "own": gettext_lazy("the workflow's own code, and what lies between"),
}
_RANKS = {kind: rank for rank, kind in enumerate(KINDS)}
#: Steps named.
_MOST = 5

_Interval = tuple[str, datetime, datetime]


@dataclass(frozen=True, slots=True)
class Share:
    """Time spent on one kind of thing, in seconds, and in percent of all of it."""

    kind: str
    seconds: float
    percent: float


def panel(subject: Subject) -> dict[str, Any] | None:
    """The shares, the largest first, and the steps that took longest."""
    run, timeline = subject.run, subject.timeline
    end = run.finished_at or subject.now
    is_blocked = bool(run.blocked_reason) and not run.is_closed
    found = shares(
        timeline.operations,
        timeline.marks,
        run.created_at,
        run.started_at,
        end,
        is_blocked=is_blocked,
    )
    if not found:
        return None
    total = in_words(end - run.created_at)
    rows, left = [], 0.0
    for share in found:
        rows.append(
            {
                "kind": share.kind,
                "label": KINDS[share.kind],
                "took": in_words(share.seconds),
                "percent": str(round(share.percent)) if share.percent >= 1 else "< 1",
                "left": round(left, 2),
                "width": round(share.percent, 2),
            }
        )
        left += share.percent
    most = rows[0]
    said = {"what": most["label"], "took": most["took"], "total": total}
    sentence = _("Most of it was %(what)s: %(took)s of %(total)s.") % said
    steps = longest_steps(timeline.operations, end)
    title = _("Where the time went")
    return {"title": title, "sentence": sentence, "rows": rows, "steps": steps}


def shares(
    operations: Sequence[Operation],
    marks: Sequence[Mark],
    created_at: datetime,
    started_at: datetime | None,
    end: datetime,
    *,
    is_blocked: bool = False,
) -> list[Share]:
    """How the time from `created_at` to `end` divides, the largest share first.

    A run that is blocked has been so since the last thing that is known of it.
    """
    total = (end - created_at).total_seconds()
    if total <= 0:
        return []
    intervals = [
        ("before", created_at, started_at or end),
        *_intervals_of_marks(marks, end),
        *(each for operation in operations for each in _intervals(operation, end)),
    ]
    if is_blocked:
        since = _last(operations, marks, started_at or created_at, end)
        intervals.append(("blocked", since, end))
    changes: list[tuple[datetime, int, int]] = []
    for kind, begins, ends in intervals:
        begins, ends = max(begins, created_at), min(ends, end)
        if begins < ends:
            changes += [(begins, _RANKS[kind], 1), (ends, _RANKS[kind], -1)]
    changes.sort()
    spent, going_on = [timedelta()] * len(KINDS), [0] * len(KINDS)
    foremost, last = _RANKS["own"], created_at
    for time, rank, step in changes:
        if time > last:
            spent[foremost] += time - last
            last = time
        going_on[rank] += step
        if step > 0:
            foremost = min(foremost, rank)
        elif rank == foremost and not going_on[rank]:
            rest = (each for each, count in enumerate(going_on) if count)
            foremost = next(rest, _RANKS["own"])
    spent[_RANKS["own"]] += end - last
    found = [
        Share(kind, time.total_seconds(), 100 * time.total_seconds() / total)
        for kind, time in zip(KINDS, spent, strict=True)
        if time
    ]
    return sorted(found, key=lambda share: -share.seconds)


def longest_steps(
    operations: Sequence[Operation], end: datetime
) -> list[dict[str, Any]]:
    """By the names of steps, how long their attempts took together: the longest."""
    took: dict[str, float] = {}
    attempts: dict[str, int] = {}
    for operation in operations:
        for attempt in operation.attempts:
            finished = attempt.finished_at or operation.finished_at or end
            length = (finished - attempt.started_at).total_seconds()
            took[operation.name] = took.get(operation.name, 0) + length
            attempts[operation.name] = attempts.get(operation.name, 0) + 1
    longest = sorted(took.items(), key=lambda each: -each[1])[:_MOST]
    return [
        {"name": name, "took": in_words(length), "attempts": attempts[name]}
        for name, length in longest
        if length > 0
    ]


def _last(
    operations: Sequence[Operation],
    marks: Sequence[Mark],
    began: datetime,
    end: datetime,
) -> datetime:
    """When something last happened, or a timer was due."""
    times = [began, *(mark.time for mark in marks)]
    for each in operations:
        times += [each.created_at, each.finished_at or each.created_at]
        for attempt in each.attempts:
            times += [attempt.started_at, attempt.finished_at or attempt.started_at]
        if each.due_at is not None and each.due_at <= end:
            times.append(each.due_at)
    return max(times)


def _intervals(operation: Operation, end: datetime) -> Iterator[_Interval]:
    finished = operation.finished_at or end
    if operation.kind != "step":
        yield operation.kind, operation.created_at, finished
        return
    free = operation.created_at
    for attempt in operation.attempts:
        yield "worker", free, attempt.started_at
        free = attempt.finished_at or finished
        yield "step", attempt.started_at, free
        if attempt.retry_at is not None:
            yield "retry", free, min(attempt.retry_at, finished)
    yield "worker", free, finished


def _intervals_of_marks(marks: Sequence[Mark], end: datetime) -> Iterator[_Interval]:
    paused_at = None
    for mark in marks:
        if mark.seq is None:
            continue  # nobody has obeyed yet
        if mark.type == log.RUN_PAUSED:
            paused_at = paused_at or mark.time
        elif paused_at is not None and mark.type in (log.RUN_RESUMED, log.RUN_RETRIED):
            yield "paused", paused_at, mark.time
            paused_at = None
        if mark.cut_at is not None:
            yield "void", mark.cut_at, mark.time
    if paused_at is not None:
        yield "paused", paused_at, end
