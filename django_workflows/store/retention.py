"""Deletes closed runs whose time is over, a few at a time, oldest first."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.deletion import Collector, ProtectedError, RestrictedError

from django_workflows.core.durations import Duration, to_seconds
from django_workflows.models import Event, Run, Stream
from django_workflows.replay.definitions import Workflow
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    to_datetime,
)

logger = logging.getLogger("django_workflows.store")

#: Runs deleted in one transaction, and how many of their events and chunks, unless one
#: run alone has more events.
BATCH = 500
BATCH_ROWS = 20_000
#: Runs that a worker deletes by itself in one go, and how often it looks further for
#: some where it cannot have those that ended first.
BATCH_OF_WORKERS = 100
LOOKS_OF_WORKERS = 10

#: What refers to other runs.
_LINKS = ("parent_id", "root_id", "continued_from_id")


def prune(
    *,
    older_than: Duration | None = None,
    workflow: Workflow[..., Any] | str | None = None,
    batch: int = BATCH,
    dry_run: bool = False,
) -> int:
    """Delete closed runs whose retention is over, with all that belongs to them.

    A run with a retention of its own is deleted that long after its end; one without
    is kept for ever, unless `older_than` says for how long. Returns how many runs have
    been deleted, or would be. Runs are kept while an open run refers to them, and the
    first run of a chain of continued runs as long as its last one.

    Each batch is a transaction of its own, and skips runs that somebody has locked.
    Raises ValueError for a wrong duration or batch.
    """
    if batch < 1:
        raise ValueError(f"a batch has at least one run, not {batch}")
    age = None if older_than is None else to_seconds(older_than)
    if age is not None and age < 0:
        raise ValueError(f"older_than must not be negative: {older_than!r}")
    if dry_run:
        return sum(runs.count() for runs in _over(age, workflow))
    deleted = 0
    while True:
        # What was kept for a run that has been deleted now is next.
        count = sum(_prune(runs, batch) for runs in _over(age, workflow))
        deleted += count
        if not count:
            return deleted


def prune_some() -> int:
    """Delete some of the runs whose own retention is over; returns how many."""
    deleted, looks = 0, 0
    for runs in _over(None, None):
        last = None
        while rows := list(_first(runs, last, BATCH_OF_WORKERS - deleted)):
            last = rows[-1]
            deleted += _delete(runs, rows, told=logging.DEBUG)
            looks += 1
            if deleted >= BATCH_OF_WORKERS or looks >= LOOKS_OF_WORKERS:
                return deleted
    return deleted


# -- which ----------------------------------------------------------------------------


def _over(
    age: float | None, workflow: Workflow[..., Any] | str | None
) -> Iterator[QuerySet[Run]]:
    """Runs whose time is over and that nothing needs, by their retention (seconds)."""
    now_us = database_time(connection())
    runs = Run.objects.using(alias()).filter(finished_at__isnull=False)
    if workflow is not None:
        runs = runs.for_workflow(workflow)
    needed = _needed()
    for retention in _retentions():
        ended = _before(now_us, retention)
        if ended is not None:
            found = runs.filter(retention=retention, finished_at__lt=ended)
            yield found.exclude(needed)
    if age is not None and (ended := _before(now_us, age)) is not None:
        yield runs.filter(retention=None, finished_at__lt=ended).exclude(needed)


def _retentions() -> Iterator[float]:
    """The retentions that closed runs have: few, and each found by the index."""
    runs = Run.objects.using(alias()).filter(
        finished_at__isnull=False, retention__isnull=False
    )
    found = runs.aggregate(least=Min("retention"))["least"]
    while found is not None:
        yield found
        found = runs.filter(retention__gt=found).aggregate(least=Min("retention"))[
            "least"
        ]


def _before(now_us: int, seconds: float) -> datetime | None:
    """So long ago; None if that is before there were any runs."""
    us = now_us - round(seconds * 1_000_000)
    return to_datetime(us) if us > 0 else None


def _needed() -> Q:
    """Runs that others still need.

    An open run tells its parent of its end, and shows whence it came. Whoever has the
    first run of a chain asks it for the result of the last one; those in between are
    left out of the chain, once nothing of theirs is still on its way to the next.
    """
    runs = Run.objects.using(alias())
    is_open = runs.filter(finished_at=None)
    next_in_chain = runs.filter(continued_from_id=OuterRef("pk"))
    on_its_way = Event.objects.using(alias()).filter(run_id=OuterRef("pk"), seq=None)
    return (
        Q(Exists(is_open.filter(parent_id=OuterRef("pk"))))
        | Q(Exists(is_open.filter(root_id=OuterRef("pk"))))
        | Q(Exists(next_in_chain.filter(finished_at=None)))
        | Q(Exists(next_in_chain), continued_from_id=None)
        | Q(Exists(on_its_way), status=Run.Status.CONTINUED_AS_NEW)
    )


# -- deleting -------------------------------------------------------------------------


def _prune(runs: QuerySet[Run], batch: int) -> int:
    deleted, last = 0, None
    while rows := list(_first(runs, last, batch)):
        last = rows[-1]
        deleted += _delete(runs, rows)
    return deleted


def _first(runs: QuerySet[Run], last: Run | None, limit: int) -> Iterator[Run]:
    """The runs that ended first, after `last`; not more than can go at once."""
    if last is not None:
        runs = runs.filter(
            Q(finished_at__gt=last.finished_at)
            | Q(finished_at=last.finished_at, pk__gt=last.pk)
        )
    streams = Stream.objects.using(alias()).filter(run_id=OuterRef("pk"))
    chunks = streams.values("run_id").annotate(total=Sum("length")).values("total")
    ordered = runs.order_by("finished_at", "pk").annotate(written=Subquery(chunks))
    rows = 0
    for run in ordered.only("pk", "finished_at", "last_seq")[:limit]:
        of_run = run.last_seq + (run.written or 0)
        rows += of_run
        if rows > BATCH_ROWS and rows > of_run:
            return
        yield run


def _delete(runs: QuerySet[Run], rows: list[Run], told: int = logging.WARNING) -> int:
    """Delete those of the rows that can be: still over, not locked, not protected."""
    ids = [run.pk for run in rows]
    if not ids or not _cut_links(ids):
        return 0
    try:
        if not _shorten_streams(runs, ids):
            return 0
        return _delete_now(runs, ids)
    except (ProtectedError, RestrictedError) as error:
        if len(ids) > 1:
            return sum(_delete(runs, [run], told) for run in rows)
        logger.log(
            told,
            "run %s is kept: rows of the project protect it: %s",
            ids[0],
            error,
            extra={"action": "run_protected", "run_id": ids[0]},
        )
        return 0


def _delete_now(runs: QuerySet[Run], ids: list[str]) -> int:
    with transaction.atomic(using=alias()):
        linked = _links_to(ids)
        locked = _lock({*ids, *linked})
        held_up = {
            target
            for pk, targets in linked.items()
            if pk not in locked
            for target in targets
        }
        free = [pk for pk in ids if pk in locked and pk not in held_up]
        # Under the lock: a run that was retried meanwhile is open again.
        rows = list(
            runs.filter(pk__in=free).values_list("pk", "continued_from_id").order_by()
        )
        going: dict[str, str | None] = dict(rows)
        _join_chains(going)
        if going:
            Run.objects.using(alias()).filter(pk__in=list(going)).delete()
    return len(going)


def _links_to(ids: list[str]) -> dict[str, set[str]]:
    """Closed runs that refer to some of these, and to which."""
    found: dict[str, set[str]] = {}
    for field in _LINKS:
        rows = Run.objects.using(alias()).filter(**{f"{field}__in": ids})
        for pk, target in rows.values_list("pk", field):
            found.setdefault(pk, set()).add(target)
    return found


def _lock(ids: set[str]) -> set[str]:
    """Lock runs in the order in which everybody does, without waiting for any."""
    rows = Run.objects.using(alias()).filter(pk__in=ids).order_by("pk")
    return set(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))


def _join_chains(going: dict[str, str | None]) -> None:
    """Leave runs out of their chains, which go on before and after them."""
    followers = Run.objects.using(alias()).filter(continued_from_id__in=list(going))
    for pk, target in followers.values_list("pk", "continued_from_id"):
        if pk in going:
            continue
        before: str | None = target
        while before in going:
            before = going[before]
        Run.objects.using(alias()).filter(pk=pk).update(continued_from_id=before)


def _cut_links(ids: list[str]) -> bool:
    """Where very many closed runs refer to these, let go of most of them beforehand.

    False if somebody has locked so many of them that it has to wait.
    """
    for field in ("parent_id", "root_id"):
        while True:
            linked = Run.objects.using(alias()).filter(
                **{f"{field}__in": ids}, finished_at__isnull=False
            )
            if linked[BATCH * 2 : BATCH * 2 + 1].count() == 0:
                break
            with transaction.atomic(using=alias()):
                some = linked.order_by("pk").select_for_update(skip_locked=True)
                pks = list(some.values_list("pk", flat=True)[:BATCH])
                if not pks:
                    return False
                Run.objects.using(alias()).filter(pk__in=pks).update(**{field: None})
    return True


def _shorten_streams(runs: QuerySet[Run], ids: list[str]) -> bool:
    """Where the streams of these runs are very long, delete most of them beforehand.

    From the end, so that a run that is retried meanwhile has no gap in what is left.
    False if somebody has locked the run, or it is open again.
    """
    streams = Stream.objects.using(alias()).filter(run_id__in=ids)
    asked = False
    while True:
        total = streams.aggregate(total=Sum("length"))["total"] or 0
        longest = streams.order_by("-length").first()
        if longest is None or total <= BATCH_ROWS:
            return True
        if not asked:
            # Nothing of them goes if rows of the project protect one.
            going = Run.objects.using(alias()).filter(pk__in=ids)
            Collector(alias(), origin=going).collect(going)
            asked = True
        with transaction.atomic(using=alias()):
            if (
                not _lock({longest.run_id})
                or not runs.filter(pk=longest.run_id).exists()
            ):
                return False
            rest = max(0, longest.length - BATCH_ROWS)
            longest.chunks.filter(index__gte=rest).delete()
            streams.filter(pk=longest.pk).update(length=rest)
