"""Which runs failed last, and of what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from django.db.models import Q

from django_workflows.core.rendering import error_to_json
from django_workflows.models import Event, Run
from django_workflows.replay import events as log
from django_workflows.store.database import alias

#: Runs that ended last, which are asked whether they failed. Who took very long and
#: ended before those may be missed.
ENDED = 1_000
#: How many events before its last one a run's failure may be.
_LATE = 20

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def failed_last(most: int) -> list[Run]:
    """The runs that failed last: among those started last, and those ended last."""
    runs = Run.objects.using(alias()).defer("seed")
    started = runs.failed().order_by("-created_at", "-id")[:most]
    ended = runs.filter(finished_at__isnull=False).order_by("-finished_at")
    last = ended.values_list("pk", "status")[:ENDED]
    ids = [pk for pk, status in last if status == Run.Status.FAILED]
    found = {run.pk: run for run in [*started, *runs.filter(pk__in=ids[:most])]}
    ordered = sorted(found.values(), key=lambda run: run.finished_at or _LONG_AGO)
    return ordered[: -most - 1 : -1]


def errors_of(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """Type and message of what failed runs have raised, by their ids."""
    # Of each only the end of its log, which may be long.
    ends = Q()
    for run in runs:
        ends |= Q(run_id=run.pk, seq__gt=run.last_seq - _LATE)
    if not ends:
        return {}
    events = Event.objects.using(alias()).filter(ends, type=log.RUN_FAILED)
    rows = events.order_by("seq").values_list("run_id", "payload")
    return {run_id: error_to_json(bytes(payload or b"")) for run_id, payload in rows}
