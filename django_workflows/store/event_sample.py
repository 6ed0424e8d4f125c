"""A look at the log by time, which reads a fixed number of rows however long it is.

The log has no index by time, for each entry would have to pay for it, but its keys grow
with time: where a period begins is found by halving. Of the keys since then, evenly
spaced blocks of neighbours are read, in which every event is as likely to be as every
other; what is counted there is multiplied by how many each stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from math import ceil
from typing import Any

from django_workflows.replay import events as log
from django_workflows.store.database import (
    connection,
    is_postgresql,
    marks,
    moment,
    to_us,
)

#: Events that are read, at most, and how many neighbours are read together.
EVENTS = 16_384
BLOCK = 64
#: Runs and steps that may be looked up, of those that the events tell of.
RUNS = 2_000
STEPS = 1_000

STARTS = (log.RUN_CREATED,)
ENDS = tuple(sorted(log.TERMINAL))
STEP_ENDS = (log.STEP_COMPLETED, log.STEP_FAILED)


class Sample:
    """Events since a time: all of them, or blocks of neighbours with even gaps."""

    def __init__(self, edges: Sequence[datetime]) -> None:
        #: Where the parts of the period begin, and where the last one ends.
        self.edges = [to_us(edge) for edge in edges]
        self.database = connection()
        self._first, self._beyond = self._span()
        self._gap = BLOCK
        while (self._beyond - self._first) * BLOCK > EVENTS * self._gap:
            self._gap *= 2

    @property
    def is_whole(self) -> bool:
        """Whether every event was read."""
        return self._gap == BLOCK

    @property
    def weight(self) -> float:
        """How many events each of those read stands for."""
        return self._gap / BLOCK

    @cached_property
    def counts(self) -> dict[str, list[float]]:
        """How many events there were, by type, in each part of the period."""
        kinds = (*STARTS, *ENDS, *STEP_ENDS)
        counts = {kind: [0.0] * (len(self.edges) - 1) for kind in kinds}
        begins = [moment(self.database, us) for us in self.edges[:-1]]
        part = " ".join(
            f"WHEN e.created_at >= %s THEN {number}"
            for number in reversed(range(len(begins)))
        )
        events, values = self._events(kinds, self._gap)
        rows = self._read(
            f"SELECT e.type, CASE {part} END AS part, COUNT(*) {events} "
            "GROUP BY e.type, part",
            [*reversed(begins), *values],
        )
        for kind, number, count in rows:
            if number is not None:
                counts[kind][number] += count * self.weight
        return counts

    def started(self) -> list[str]:
        """Ids of runs that were started, `RUNS` at most, evenly from the period."""
        return self._some("run_id", STARTS, RUNS)

    def steps(self) -> list[str]:
        """Ids of steps that have ended, `STEPS` at most, evenly from the period."""
        return self._some("correlation_id", STEP_ENDS, STEPS)

    def _span(self) -> tuple[int, int]:
        """The keys that the period's events have: the first, and the one behind."""
        if not self.edges:
            return 0, 0
        if self.database.vendor == "mysql":
            return self._span_by_turns()
        middle = (
            "(SELECT e.created_at FROM django_workflows_event e "
            "WHERE e.id >= ((low + high) >> 1) ORDER BY e.id LIMIT 1) < %s"
        )
        since = moment(self.database, self.edges[0])
        rows = self._read(
            "WITH RECURSIVE halves(low, high, beyond, number) AS ("
            "SELECT MIN(id), MAX(id) + 1, MAX(id) + 1, 0 FROM django_workflows_event "
            "UNION ALL SELECT "
            f"CASE WHEN {middle} THEN ((low + high) >> 1) + 1 ELSE low END, "
            f"CASE WHEN {middle} THEN high ELSE (low + high) >> 1 END, "
            "beyond, number + 1 FROM halves WHERE low < high AND number < 64) "
            "SELECT low, beyond FROM halves ORDER BY number DESC LIMIT 1",
            [since, since],
        )
        low, beyond = rows[0]
        return (0, 0) if low is None else (low, beyond)

    def _span_by_turns(self) -> tuple[int, int]:
        """The same in a statement for each half: within one, MySQL and MariaDB would
        look for each middle from the log's beginning on."""
        table = "django_workflows_event"
        low, last = self._read(f"SELECT MIN(id), MAX(id) FROM {table}", ())[0]
        if low is None:
            return 0, 0
        high = beyond = last + 1
        find = f"SELECT created_at FROM {table} WHERE id >= %s ORDER BY id LIMIT 1"
        while low < high:
            middle = (low + high) // 2
            rows = self._read(find, [middle])
            # What is behind it may be deleted meanwhile.
            if rows and to_us(rows[0][0]) < self.edges[0]:
                low = middle + 1
            else:
                high = middle
        return low, beyond

    def _some(self, column: str, kinds: Sequence[str], most: int) -> list[str]:
        """What so many events at most have in a column, evenly from the sample."""
        read = sum(sum(self.counts[kind]) for kind in kinds) / self.weight
        gap = self._gap * max(1, ceil(read / most))
        events, values = self._events(kinds, gap)
        ids = [row[0] for row in self._read(f"SELECT e.{column} {events}", values)]
        return ids[:: max(1, ceil(len(ids) / most))]

    def _events(self, kinds: Sequence[str], gap: int) -> tuple[str, list[Any]]:
        """FROM and WHERE for events `e` of some types in blocks with such a gap from
        the beginning of one to that of the next, and values."""
        # The same blocks while the period moves on: what is estimated stands still.
        begin = self._first if gap == BLOCK else ceil(self._first / gap) * gap
        table, place = "django_workflows_event", "1 = 1"
        if gap == BLOCK:
            place = f"e.id >= {begin}"
        elif is_postgresql(self.database):
            # The planner would think that a join with ranges finds half the table.
            table = (
                f"generate_series({begin}, {self._beyond - 1}, {gap}) AS low "
                f"CROSS JOIN LATERAL (SELECT * FROM {table} each WHERE each.id >= low "
                f"AND each.id < low + {BLOCK} ORDER BY each.id LIMIT {BLOCK})"
            )
        else:
            lows = range(begin, self._beyond, gap)
            blocks = (f"e.id >= {low} AND e.id < {low + BLOCK}" for low in lows)
            place = f"({' OR '.join(blocks) or '1 = 0'})"
        since = moment(self.database, self.edges[0])
        return (
            (
                f"FROM {table} e WHERE {place} AND e.type IN ({marks(kinds)}) "
                "AND e.created_at >= %s"
            ),
            [*kinds, since],
        )

    def _read(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.database.cursor() as cursor:
            cursor.execute(statement, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
