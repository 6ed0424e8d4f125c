"""How many runs there were over time, and how long steps took: exact where that is
cheap, else from a sample, and never by reading more than a fixed number of rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django_workflows.models import Run, Step
from django_workflows.replay.registry import registry
from django_workflows.store.database import alias, connection, moment, to_us
from django_workflows.store.event_sample import STARTS, Sample

#: Runs that are counted one by one, at most.
EXACT = 50_000


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many runs were started in each part of a period, by their status today."""

    by_status: dict[str, list[float]]
    #: The runs looked at if these are estimates; None if every run was counted.
    sampled: int | None = None


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long the last attempt of a step took, in seconds."""

    name: str
    seconds: float


def runs_by_status(edges: Sequence[datetime], sample: Sample) -> RunCounts:
    """Runs by when they were started. `edges` are where the parts of the period begin,
    and where the last one ends."""
    runs = Run.objects.using(alias()).filter(created_at__gte=edges[0])
    # In no order: none is needed to see how many there are.
    if runs.order_by().values("pk")[: EXACT + 1].count() > EXACT:
        return _estimated(edges, sample)
    return _counted(edges)


def step_times(sample: Sample) -> list[StepTime]:
    """How long steps took that have ended in the sample's period."""
    steps = Step.objects.using(alias()).filter(pk__in=sample.steps())
    times = steps.order_by().values_list("name", "started_at", "finished_at")
    return [
        StepTime(registry.title_of_row(name), (end - start).total_seconds())
        for name, start, end in times
        if start is not None and end is not None
    ]


def _counted(edges: Sequence[datetime]) -> RunCounts:
    """One look into the index for each status and part of the period."""
    database = connection()
    times = [moment(database, to_us(edge)) for edge in edges]
    pairs = list(pairwise(times))
    if database.vendor == "mysql":
        # By times from another table it would read all runs of a status for each part.
        counts = _counts("%s", "%s")
        statement = " UNION ALL ".join(
            f"SELECT {number}, {counts}" for number in range(len(pairs))
        )
        pairs = [pair for pair in pairs for _status in Run.Status]
    else:
        parts = " UNION ALL ".join(
            f"SELECT {number} AS number, %s AS low, %s AS high"
            for number in range(len(pairs))
        )
        counts = _counts("parts.low", "parts.high")
        statement = f"SELECT parts.number, {counts} FROM ({parts}) AS parts"
    with database.cursor() as cursor:
        cursor.execute(statement, [time for pair in pairs for time in pair])
        rows = sorted(cursor.fetchall())
    by_part = [row[1:] for row in rows]
    columns = zip(*by_part, strict=True)
    return RunCounts(
        {
            status: [float(count) for count in column]
            for status, column in zip(Run.Status.values, columns, strict=True)
        }
    )


def _counts(low: str, high: str) -> str:
    """How many runs of each status were started from one time up to another."""
    return ", ".join(
        f"(SELECT COUNT(*) FROM django_workflows_run r WHERE r.status = '{status}' "
        f"AND r.created_at >= {low} AND r.created_at < {high})"
        for status in Run.Status.values
    )


def _estimated(edges: Sequence[datetime], sample: Sample) -> RunCounts:
    """From some of the runs that the log says were started."""
    parts = range(len(edges) - 1)
    counts = {str(each): [0.0] * len(parts) for each in Run.Status}
    started = sum(sum(sample.counts[kind]) for kind in STARTS)
    runs = Run.objects.using(alias()).filter(
        pk__in=sample.started(), created_at__gte=edges[0]
    )
    found = list(runs.order_by().values_list("status", "created_at"))
    for status, created_at in found:
        number = min(bisect_right(edges, created_at) - 1, parts[-1])
        counts[status][number] += started / len(found)
    return RunCounts(counts, len(found))
