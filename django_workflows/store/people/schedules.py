"""What people do to schedules: done, and noted in the language of who does it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from django_workflows.models import Run, Schedule
from django_workflows.store.database import alias
from django_workflows.store.people.actors import ADDITION, DELETION, Actor
from django_workflows.store.people.words import STARTED_BY_SCHEDULE


def save(actor: Actor, schedule: Schedule) -> None:
    """`Schedule.save`; which fields were changed is noted by their names."""
    # Once only: what it has stored, it would not store again.
    with actor.transaction():
        is_new = schedule._state.adding
        # By the names that people use.
        names = {"sealed_input": "args"}
        changed = sorted(names.get(each, each) for each in schedule.changed_fields())
        schedule.save()
        if is_new:
            actor.note(schedule, _("Added."), kind=ADDITION)
        elif changed:
            actor.note(schedule, _("Changed"), ", ".join(changed))


def delete(actor: Actor, schedule: Schedule) -> None:
    """`Schedule.delete`."""
    with actor.transaction():
        actor.note(schedule, _("Deleted."), kind=DELETION)
        schedule.delete()


def pause(actor: Actor, schedule: Schedule, note: str) -> None:
    """`Schedule.pause`."""

    def act() -> None:
        schedule.pause(note)
        actor.note(schedule, _("Paused"), note)

    actor.noted(act)


def unpause(actor: Actor, schedule: Schedule) -> None:
    """`Schedule.unpause`."""

    def act() -> None:
        schedule.unpause()
        actor.note(schedule, _("Unpaused"))

    actor.noted(act)


def trigger(actor: Actor, schedule: Schedule) -> Run:
    """`Schedule.trigger`; told of the run, too."""

    def act() -> Run:
        run = schedule.trigger()
        actor.note(schedule, _("Triggered"), run.pk)
        actor.of_runs.note(run, STARTED_BY_SCHEDULE, schedule.name)
        return run

    return actor.noted(act)


def backfill(
    actor: Actor,
    schedule: Schedule,
    start: datetime,
    end: datetime,
    check: Callable[[list[Run]], None] | None = None,
) -> list[Run]:
    """`Schedule.backfill`; nothing is noted if all times have had their runs. Nothing
    is started if `check` raises."""

    def act() -> list[Run]:
        with transaction.atomic(using=alias()):
            runs = schedule.backfill(start, end)
            if check is not None:
                check(runs)
            if runs:
                ends = {"start": _shown(start), "end": _shown(end)}
                done = _("Made up for times from %(start)s to %(end)s") % ends
                actor.note(schedule, done, str(len(runs)))
        return runs

    return actor.noted(act)


def _shown(moment: datetime) -> str:
    return f"{localtime(moment):%F %T %Z}"
