"""Reads a run's log: for replay, and for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core import failures, serialization
from django_workflows.core.details import read_details, show_details
from django_workflows.core.payloads import unseal
from django_workflows.models import Event, Run
from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.store.database import alias, among, to_datetime, to_us, us_sql
from django_workflows.store.inbox import unread_events

COLUMNS = "run_id, seq, type, correlation_id, detail, payload, created_at, id"
T = TypeVar("T")
_NO_DETAIL: dict[str, Any] = {}
#: Rows of an outline that are read at once.
_AT_ONCE = 500


def to_log_event(row: Sequence[Any]) -> LogEvent:
    """A row of `COLUMNS` as replay takes it. Raises WorkflowError if it cannot be
    read here."""
    _, seq, kind, correlation_id, detail, payload, created_at, row_id = row
    return LogEvent(
        kind,
        correlation_id,
        time=to_us(created_at),
        detail=read_details(detail) if detail else _NO_DETAIL,
        payload=None if payload is None else unseal(bytes(payload)),
        seq=seq,
        row_id=row_id,
    )


def first_row(run_id: str, created_us: int, sealed: bytes) -> Sequence[Any]:
    """The row of a log that holds nothing but the start, made from a claim."""
    created_at = to_datetime(created_us)
    return (run_id, 1, log.RUN_CREATED, "", "", sealed, created_at, None)


def read_logs(
    database: BaseDatabaseWrapper, run_ids: Sequence[str]
) -> dict[str, list[Sequence[Any]]]:
    """The rows of whole logs, in order, each followed by the run's inbox."""
    rows: dict[str, list[Sequence[Any]]] = {run_id: [] for run_id in run_ids}
    with database.cursor() as cursor:
        for part in batches(run_ids):
            runs_in, values = among(database, part)
            cursor.execute(
                f"SELECT {COLUMNS} FROM django_workflows_event "
                f"WHERE run_id {runs_in} ORDER BY run_id, seq, id",
                values,
            )
            for row in cursor.fetchall():
                rows[row[0]].append(row)
    for entries in rows.values():
        # Databases disagree on where NULL sorts.
        entries.sort(key=lambda row: (row[1] is None, row[1] or 0, row[7]))
    return rows


def read_inboxes(
    database: BaseDatabaseWrapper, run_ids: Sequence[str]
) -> dict[str, list[Sequence[Any]]]:
    """The unnumbered rows of runs, in the order in which they are delivered."""
    rows: dict[str, list[Sequence[Any]]] = {}
    with database.cursor() as cursor:
        for part in batches(run_ids):
            runs_in, values = among(database, part)
            cursor.execute(
                f"SELECT {COLUMNS} FROM django_workflows_event "
                f"WHERE seq IS NULL AND run_id {runs_in} ORDER BY id",
                values,
            )
            for row in cursor.fetchall():
                rows.setdefault(row[0], []).append(row)
    return rows


def read_owned_inboxes(
    database: BaseDatabaseWrapper, worker_id: str
) -> dict[str, list[Sequence[Any]]]:
    """The unnumbered rows of all runs that a worker owns."""
    rows: dict[str, list[Sequence[Any]]] = {}
    columns = ", ".join(f"e.{name.strip()}" for name in COLUMNS.split(","))
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM {unread_events(database)} "
            "WHERE e.seq IS NULL AND r.owner = %s ORDER BY e.id LIMIT 5000",
            (worker_id,),
        )
        for row in cursor.fetchall():
            rows.setdefault(row[0], []).append(row)
    return rows


def read_outline(
    database: BaseDatabaseWrapper, run_id: str
) -> tuple[list[LogEvent], list[LogEvent]]:
    """A run's log and its inbox, both in order, each entry as in `outline`."""
    events = list(outline(database, run_id))
    numbered = [event for event in events if event.seq is not None]
    return numbered, [event for event in events if event.seq is None]


def outline(database: BaseDatabaseWrapper, run_id: str) -> Iterator[LogEvent]:
    """A run's log and then its inbox, both in order, without any payloads.

    Events that say the same share one detail, which is not to be changed. What cannot
    be read is there as `show_details` has it.
    """
    details: dict[str, Mapping[str, Any]] = {"": _NO_DETAIL}
    unread = []
    time, moment = 0, None
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT seq, type, correlation_id, detail, "
            f"{us_sql(database, 'created_at')}, id "
            "FROM django_workflows_event WHERE run_id = %s ORDER BY seq, id",
            (run_id,),
        )
        # Rows of a long log that stay for a while keep the garbage collector busy.
        while rows := cursor.fetchmany(_AT_ONCE):
            for seq, kind, correlation_id, text, created_at, row_id in rows:
                detail = details.get(text)
                if detail is None:
                    detail = details[text] = show_details(text)
                if created_at != moment:
                    time, moment = to_us(created_at), created_at
                event = LogEvent(
                    kind,
                    correlation_id,
                    time=time,
                    detail=detail,
                    seq=seq,
                    row_id=row_id,
                )
                # Databases disagree on where NULL sorts.
                if seq is None:
                    unread.append(event)
                else:
                    yield event
    yield from unread


def batches(values: Sequence[T], size: int = 500) -> Iterable[Sequence[T]]:
    """The values in parts that fit into one statement."""
    for first in range(0, len(values), size):
        yield values[first : first + size]


def history(run: Run) -> list[Event]:
    """The numbered events of a run, in order."""
    events = Event.objects.using(alias()).filter(run_id=run.pk, seq__isnull=False)
    return list(events.order_by("seq"))


def sealed_input(run: Run) -> bytes:
    """What the run was started with, as it is stored."""
    first = Event.objects.using(alias()).filter(run_id=run.pk, seq=1)
    return bytes(first.values_list("payload", flat=True).first() or b"")


def sealed_end(run: Run) -> bytes | None:
    """The payload of the event that ended the run, as it is stored."""
    ends = Event.objects.using(alias()).filter(run_id=run.pk, type__in=log.TERMINAL)
    payload = ends.order_by("-seq").values_list("payload", flat=True).first()
    return None if payload is None else bytes(payload)


def input_of(run: Run) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the run was started with."""
    return serialization.loads_call(unseal(sealed_input(run)))


def end_of(run: Run) -> bytes | None:
    """The payload of the event that ended the run."""
    payload = sealed_end(run)
    return None if payload is None else unseal(payload)


def output_of(run: Run) -> Any:
    """What the workflow returned, or None."""
    if run.status != Run.Status.COMPLETED:
        return None
    payload = end_of(run)
    return None if payload is None else serialization.loads(payload)


def error_of(run: Run) -> BaseException | None:
    """What the workflow raised, rebuilt, or None."""
    if run.status != Run.Status.FAILED:
        return None
    payload = end_of(run)
    return None if payload is None else failures.rebuild(payload)
