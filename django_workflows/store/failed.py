"""Which runs failed last, and of what."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q

from django_workflows.core.rendering import error_to_json
from django_workflows.models import Event, Run
from django_workflows.replay import events as log
from django_workflows.store.database import alias
from django_workflows.store.short_payloads import (
    is_too_large,
    payload_in,
    with_payloads,
)

#: How many events before its last one a run's failure may be.
_LATE = 20


def failed_last(most: int) -> list[Run]:
    """The runs that failed last, the last one first."""
    # In the words of the index.
    failed = Run.objects.using(alias()).filter(status=Run.Status.FAILED)
    return list(failed.order_by("-finished_at").defer("seed")[:most])


def errors_of(runs: Sequence[Run]) -> dict[str, dict[str, str] | None]:
    """Type and message of what failed runs have raised, by their ids; None for what is
    too large to be shown among others."""
    # Of each only the end of its log, which may be long.
    ends = Q()
    for run in runs:
        ends |= Q(run_id=run.pk, seq__gt=run.last_seq - _LATE)
    if not ends:
        return {}
    events = Event.objects.using(alias()).filter(ends, type=log.RUN_FAILED)
    rows = with_payloads(events.only("run_id")).order_by("seq")
    return {
        row.run_id: None if is_too_large(row) else error_to_json(payload_in(row) or b"")
        for row in rows
    }
