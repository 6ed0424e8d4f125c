"""Steps that wait for a limit, in lines: one for each name of a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core.details import as_object, show_object
from django_workflows.replay.actions import KnownSteps
from django_workflows.replay.registry import registry
from django_workflows.store.database import (
    among,
    among_names,
    exactly,
    is_postgresql,
    now_sql,
    to_us,
)
from django_workflows.store.limits import (
    Gate,
    Limits,
    Line,
    firsts_sql,
    likely,
    quoted,
    skip_locked,
)
from django_workflows.store.unreadable import unreadable


def step_limits(name: str, options: str) -> Limits:
    """The limits of a step on offer: those of its call, else today's definition's."""
    step = registry.find_step_of_row(name)
    if step is None:
        return Limits(None, None)
    given = as_object(show_object(options).get("limits", {}))
    return Limits(
        given.get("max_concurrency", step.settings.max_concurrency),
        given.get("rate_limit", step.settings.rate_limit),
    )


# The different keys are found by jumping from one to the next in the index, so that it
# does not matter how many wait for each. `NOT (... = '')` are the index's own words.
_STEP_LINES = """
    keys_of_steps(limit_key) AS (
        SELECT MIN(s.limit_key) FROM django_workflows_step s
        WHERE NOT (s.limit_key = '') AND s.status = 'pending'
        UNION ALL
        SELECT (SELECT MIN(s.limit_key) FROM django_workflows_step s
            WHERE NOT (s.limit_key = '') AND s.status = 'pending'
            AND s.limit_key > k.limit_key)
        FROM keys_of_steps k WHERE k.limit_key IS NOT NULL
    )
"""
# MySQL and MariaDB jump by themselves, and told how they would read all limited steps
# at each jump.
_STEP_GROUPS = """
    keys_of_steps(limit_key) AS (
        SELECT s.limit_key FROM django_workflows_step s
        WHERE NOT (s.limit_key = '') AND s.status = 'pending' GROUP BY s.limit_key
    )
"""
_FIRST = """
    SELECT s.{column} FROM django_workflows_step s
    WHERE NOT (s.limit_key = '') AND s.status = 'pending'
    AND s.limit_key = k.limit_key AND {eligible}
    ORDER BY s.priority DESC, s.created_at, s.run_id LIMIT 1
"""
_COUNT = """
    SELECT COUNT(*) FROM django_workflows_step w WHERE NOT (w.limit_key = '')
    AND w.status = 'running' AND w.limit_key = {key}
"""
_STEP_LINE = """
    SELECT s.id, s.limit_key, s.name, s.options, ({count}),
        COALESCE(l.pace, ''), {now}, s.priority, s.created_at
    FROM {firsts} LEFT JOIN django_workflows_limit l ON l.{key} = s.limit_key
"""
#: Of a step: its run does not stand still. Looked up for each step that is due.
NOT_PAUSED = (
    "(SELECT r.status FROM django_workflows_run r WHERE r.id = s.run_id) <> 'paused'"
)


#: The name of a row up to whose action it is.
_BEGINNING = {
    "postgresql": "split_part(s.name, '@', 1)",
    "sqlite": "substr(s.name, 1, instr(s.name, '@') - 1)",
    "mysql": "SUBSTRING_INDEX(s.name, '@', 1)",
}


def known_steps_sql(
    database: BaseDatabaseWrapper, known: KnownSteps
) -> tuple[str, list[Any]]:
    """A condition on steps `s`: their code is known, and that of their actions, and for
    all that this process knows it can read them; and its parameters."""
    names_in, values = among_names(database, known.names or ("",))
    is_known = f"{exactly(database, 's.name')} {names_in}"
    if known.beginnings:
        begins_in, beginnings = among_names(database, known.beginnings)
        beginning = exactly(database, _BEGINNING[database.vendor])
        is_known = f"({is_known} OR {beginning} {begins_in})"
        values += beginnings
    if unread := unreadable.ids:
        unread_in, ids = among_names(database, unread)
        is_known += f" AND NOT s.id {unread_in}"
        values += ids
    return is_known, values


def step_lines(
    database: BaseDatabaseWrapper,
    queues: Sequence[str],
    known: KnownSteps,
    suspects: bool | None,
) -> list[Line]:
    """The lines of due steps of known names, one for each limit."""
    eligible, values = _eligible_steps(database, queues, known, suspects)
    firsts = firsts_sql(
        database,
        "django_workflows_step s",
        "keys_of_steps k",
        _FIRST.format(
            column="*" if is_postgresql(database) else "id", eligible=eligible
        ),
    )
    line = _STEP_LINE.format(
        now=now_sql(database),
        key=quoted(database, "key"),
        firsts=firsts,
        count=_COUNT.format(key="s.limit_key"),
    )
    keys = _STEP_GROUPS if database.vendor == "mysql" else _STEP_LINES
    with database.cursor() as cursor:
        cursor.execute(f"WITH RECURSIVE {keys} {line}", values)
        return [_line(row) for row in cursor.fetchall()]


def _eligible_steps(
    database: BaseDatabaseWrapper,
    queues: Sequence[str],
    known: KnownSteps,
    suspects: bool | None,
) -> tuple[str, list[Any]]:
    queues_in, queue_values = among(database, queues)
    is_known, known_values = known_steps_sql(database, known)
    eligible = (
        f"s.due_at <= {now_sql(database)} "
        f"AND {likely(f's.queue {queues_in}')} "
        f"AND {likely(is_known)} AND {NOT_PAUSED}"
    )
    values = [*queue_values, *known_values]
    if suspects is not None:
        eligible += " AND s.suspect = %s"
        values.append(suspects)
    return eligible, values


def _line(row: Sequence[Any]) -> Line:
    step_id, key, name, options, at_work, pace, now, priority, created_at = row
    return Line(
        key=key,
        limits=step_limits(name, options),
        at_work=at_work,
        pace=pace,
        now_us=to_us(now),
        priority=priority,
        since_us=to_us(created_at),
        first=step_id,
    )


def next_steps(
    database: BaseDatabaseWrapper,
    cursor: Any,
    line: Line,
    queues: Sequence[str],
    known: KnownSteps,
    limit: int,
    *,
    suspects: bool,
    least_priority: int | None,
) -> tuple[list[str], Gate]:
    """The steps of a line that may start now, at most `limit`; they have to be begun in
    the current transaction, which holds the Limit row from here on.

    Also returns the gate they go through: they start at its time.
    """
    gate = Gate(database, cursor, line.key, _COUNT.format(key="%s"))
    eligible, values = _eligible_steps(database, queues, known, suspects)
    if least_priority is not None:
        eligible += " AND s.priority >= %s"
        values.append(least_priority)
    cursor.execute(
        "SELECT s.id, s.name, s.options, s.args, s.heartbeat "
        "FROM django_workflows_step s "
        "WHERE NOT (s.limit_key = '') AND s.status = 'pending' AND s.limit_key = %s "
        f"AND {eligible} ORDER BY s.priority DESC, s.created_at, s.run_id "
        f"LIMIT {limit}{skip_locked(database, 's')}",
        [line.key, *values],
    )
    rows = [row for row in cursor.fetchall() if unreadable.can_read(row[0], *row[3:])]
    allowed = gate.admit([step_limits(row[1], row[2]) for row in rows])
    return [row[0] for row in rows[:allowed]], gate


# -- beside steps without limits -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Free:
    """A due step without limits."""

    id: str
    priority: int
    since_us: int


@dataclass(slots=True)
class Part:
    """What is to be begun in one transaction: some free steps, or the front of a line
    as far as it goes before free ones of less priority."""

    ids: list[str]
    line: Line | None = None
    least_priority: int | None = None


def in_order(free: Sequence[Free], lines: Sequence[Line]) -> Iterator[Part]:
    """What is to be begun, by priority and then by age."""
    waiting: list[Free | Line] = [*free, *(line for line in lines if line.may_start)]
    waiting.sort(key=lambda one: (-one.priority, one.since_us))
    part = Part([])
    for number, one in enumerate(waiting):
        if isinstance(one, Free):
            part.ids.append(one.id)
            continue
        if part.ids:
            yield part
            part = Part([])
        behind = [other.priority for other in waiting[number + 1 :]]
        yield Part([], one, max(behind, default=None))
    if part.ids:
        yield part
