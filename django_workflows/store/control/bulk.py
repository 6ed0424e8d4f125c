"""The same for many runs: one after the other, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.db.utils import DatabaseError

from django_workflows.core.ids import is_possible_id
from django_workflows.errors import WorkflowError
from django_workflows.models import Run
from django_workflows.store.control.cancelling import cancel
from django_workflows.store.control.retrying import retry
from django_workflows.store.control.rows import not_found
from django_workflows.store.control.terminating import terminate
from django_workflows.store.database import alias
from django_workflows.store.history import batches

#: Runs read at a time.
BATCH = 500


@dataclass(slots=True)
class BulkResult:
    """What became of each run of a bulk action.

    ``done`` holds the ids of the runs it was done to, in order, ``refused`` the error
    for each of the others.
    """

    done: list[str] = field(default_factory=list)
    refused: dict[str, Exception] = field(default_factory=dict)


def cancel_runs(runs: QuerySet[Run], reason: str = "") -> BulkResult:
    """Call ``cancel()`` on each run of a queryset, by id.

    A run that cannot be cancelled is reported and stops none of the others. Each is in
    a transaction of its own, unless the caller has one open: then all are in that.
    """
    return for_each(runs, lambda run: cancel(run, reason))


async def acancel_runs(runs: QuerySet[Run], reason: str = "") -> BulkResult:
    return await sync_to_async(cancel_runs)(runs, reason)


def terminate_runs(runs: QuerySet[Run], reason: str = "") -> BulkResult:
    """Call ``terminate()`` on each run of a queryset; see ``cancel_runs``."""
    return for_each(runs, lambda run: terminate(run, reason))


async def aterminate_runs(runs: QuerySet[Run], reason: str = "") -> BulkResult:
    return await sync_to_async(terminate_runs)(runs, reason)


def retry_runs(runs: QuerySet[Run]) -> BulkResult:
    """Call ``retry()`` on each run of a queryset; see ``cancel_runs``."""
    return for_each(runs, retry)


async def aretry_runs(runs: QuerySet[Run]) -> BulkResult:
    return await sync_to_async(retry_runs)(runs)


def for_each(
    runs: QuerySet[Run] | Sequence[str], action: Callable[[Run], object]
) -> BulkResult:
    """Do something to each run of a queryset, by id, or to each of those with the ids
    given, and collect the refusals."""
    result = BulkResult()
    for ids in _batches(runs):
        found = Run.objects.using(alias()).in_bulk([*filter(is_possible_id, ids)])
        for run_id in ids:
            try:
                run = found.get(run_id)
                if run is None:
                    raise not_found(run_id)
                action(run)
            except (WorkflowError, DatabaseError) as error:
                result.refused[run_id] = error
            else:
                result.done.append(run_id)
    return result


def _batches(runs: QuerySet[Run] | Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids of a queryset in their order, while what is done changes who is in it."""
    if not isinstance(runs, QuerySet):
        yield from batches(list(dict.fromkeys(runs)), BATCH)
        return
    if runs.query.is_sliced or runs.query.combinator:
        yield from batches(sorted(runs.values_list("pk", flat=True)), BATCH)
        return
    rest = runs.order_by("pk").values_list("pk", flat=True).distinct()
    last = ""
    while ids := list(rest.filter(pk__gt=last)[:BATCH]):
        yield ids
        last = ids[-1]
