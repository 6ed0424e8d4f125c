"""The runs that schedules have started, for the console."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q

from django_workflows.models import Run, Schedule
from django_workflows.store.attributes import attribute_is
from django_workflows.store.database import alias
from django_workflows.store.schedule_runs import key_of, names_of
from django_workflows.store.starting import key_hash

#: Runs that a schedule's page shows.
SHOWN = 10
#: Newest runs of a schedule that are looked at, beside that of its last time.
_RECENT = 20


def latest_runs(schedules: Sequence[Schedule]) -> dict[int, Run]:
    """By schedule: the newest run it has started, if it is kept."""
    recent = [pk for each in schedules for pk in _open_runs(each)]
    condition = Q(pk__in=recent)
    hashes, names = [], set()
    for schedule in schedules:
        if schedule.last_run_at is not None:
            hashes.append(key_hash(key_of(schedule, schedule.last_run_at)))
            names.update(names_of(schedule))
    # By the index that keys are unique by.
    condition |= Q(workflow__in=names, key_held__in=hashes)
    runs = Run.objects.using(alias()).filter(condition)
    found: dict[tuple[str, str], Run] = {}
    for run in runs.order_by("created_at", "id"):
        time = str(run.attribute("scheduled_at"))
        found[(str(run.attribute("schedule")), time)] = run
    return {
        schedule.pk: found[key]
        for schedule in schedules
        if schedule.last_run_at is not None
        and (key := (schedule.name, schedule.last_run_at.isoformat())) in found
    }


def runs_of(schedule: Schedule) -> list[Run]:
    """Its newest runs under the name it has now, whatever has started them."""
    runs = Run.objects.using(alias()).filter(
        attribute_is("schedule", schedule.name),
        workflow__in=names_of(schedule),
        created_at__gte=schedule.created_at,
    )
    return list(runs.order_by("-created_at", "-id")[:SHOWN])


def _open_runs(schedule: Schedule) -> list[str]:
    """The last ids of runs that it holds to be open."""
    ids = schedule.open_runs
    return [str(each) for each in ids[-_RECENT:]] if isinstance(ids, list) else []
