"""Schedules: workflows that are started again and again, by the clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_workflows.core import serialization
from django_workflows.core.payloads import seal, unseal

if TYPE_CHECKING:
    from django_workflows.models.run import Run

#: Seconds after which a missed time is not caught up with: a year.
CATCHUP_WINDOW = 365 * 86_400.0


def default_timezone() -> str:
    """The project's."""
    return str(settings.TIME_ZONE)


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    """Schedules, which are changed one by one."""

    def update(self, **values: Any) -> int:
        """Raises TypeError for what a schedule's times follow from."""
        wrong = sorted(Schedule.TIMING & values.keys())
        if wrong:
            raise TypeError(
                f"update({', '.join(wrong)}) would not move a schedule's next time: "
                "set it on each schedule, and save() that"
            )
        return super().update(**values)


class Schedule(models.Model):
    """Starts a workflow by the clock: exactly one of `cron`, `interval` and `at`.

    Durations are in seconds once saved; any duration may be assigned. What is saved
    holds at once. Workers own the last fields; saving an instance never takes back what
    they have written since it was read.
    """

    class Overlap(models.TextChoices):
        """What becomes of a time at which an earlier run is still open."""

        SKIP = "skip", _("skip")
        BUFFER_ONE = "buffer_one", _("buffer one")
        BUFFER_ALL = "buffer_all", _("buffer all")
        CANCEL_OTHER = "cancel_other", _("cancel the other")
        TERMINATE_OTHER = "terminate_other", _("terminate the other")
        ALLOW_ALL = "allow_all", _("allow all")

    #: Which times there are.
    TIMES: ClassVar = frozenset({"cron", "timezone", "interval", "offset", "at"})
    #: What the next time follows from.
    TIMING: ClassVar = TIMES | {"start_at", "end_at", "remaining_runs", "paused"}

    name = models.CharField(max_length=255, unique=True)
    #: The name of a workflow, or the id of a definition.
    workflow = models.CharField(max_length=255)
    #: Which of the two it is: see `store.targets`.
    kind = models.CharField(max_length=20, default="workflow", editable=False)
    sealed_input = models.BinaryField(null=True)
    cron = models.CharField(max_length=255, null=True, blank=True)
    timezone = models.CharField(max_length=64, default=default_timezone)
    interval = models.FloatField(null=True, blank=True)
    offset = models.FloatField(default=0.0)
    at = models.DateTimeField(null=True, blank=True)
    jitter = models.FloatField(default=0.0)
    overlap = models.CharField(max_length=20, choices=Overlap, default=Overlap.SKIP)
    catchup_window = models.FloatField(default=CATCHUP_WINDOW)
    paused = models.BooleanField(default=False)
    note = models.TextField(default="", blank=True)
    #: How many runs there will be; NULL is no limit.
    remaining_runs = models.IntegerField(null=True, blank=True)
    start_at = models.DateTimeField(null=True, blank=True)
    end_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(editable=False)
    #: The time by the schedule of the newest run.
    last_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: The next time by the schedule; NULL once there is none left.
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: Why the last start failed; empty once one has succeeded again.
    last_error = models.TextField(default="", blank=True, editable=False)
    #: Ids of runs that may be open; times, in microseconds, that wait for their end.
    open_runs = models.JSONField(default=list, editable=False)
    buffered = models.JSONField(default=list, editable=False)
    #: One of those runs if something waits; the buffer takes no more.
    waits_for = models.CharField(max_length=40, default="", editable=False)
    is_full = models.BooleanField(default=False, editable=False)

    #: Values as they were read.
    _stored: Mapping[str, Any] = MappingProxyType({})

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["next_run_at"], name="dw_schedule_next"),
            models.Index(fields=["waits_for"], name="dw_schedule_waits"),
            models.Index(fields=["created_at", "id"], name="dw_schedule_created"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(
        self,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Store what was assigned; the next time follows from it at once.

        Raises ValidationError for what makes no sense, and stores nothing then.
        """
        from django_workflows.store import schedules

        schedules.save(self, update_fields)

    def clean(self) -> None:
        """Raise ValidationError for all that ``save()`` would refuse."""
        from django_workflows.store import schedules

        schedules.clean(self)

    def validate_unique(self, exclude: Collection[str] | None = None) -> None:
        """`clean` looks for the name, and in the database that keeps the schedules:
        Django would ask the one that its routers name."""

    @classmethod
    def from_db(
        cls,
        db: str | None,
        field_names: Collection[str],
        values: Collection[Any],
        **options: Any,
    ) -> Self:
        schedule = super().from_db(db, field_names, values, **options)
        schedule.note_stored()
        return schedule

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        super().refresh_from_db(*args, **kwargs)
        self.note_stored()

    def note_stored(self) -> None:
        """Take the values that there are now for those in the database."""
        self._stored = self._values()

    def take_over(self, stored: Schedule, names: Iterable[str]) -> None:
        """Have the stored values of these fields, whatever else is being edited."""
        values = {name: getattr(stored, name) for name in names}
        for name, value in values.items():
            setattr(self, name, value)
        self._stored = {**self._stored, **values}

    def changed_fields(self) -> set[str]:
        """Names of the fields that were assigned since they were read."""
        now = self._values()
        return {name for name in now if now[name] != self._stored.get(name, self)}

    def _values(self) -> dict[str, Any]:
        values = {
            field.attname: self.__dict__[field.attname]
            for field in self._meta.concrete_fields
            if field.attname in self.__dict__
        }
        values["open_runs"] = deepcopy(values.get("open_runs", []))
        values["buffered"] = deepcopy(values.get("buffered", []))
        if values.get("sealed_input") is not None:
            values["sealed_input"] = bytes(values["sealed_input"])
        return values

    def store(self, names: Iterable[str] | None) -> None:
        """Write these fields as they are, or a new row."""
        from django_workflows.store.database import alias

        super().save(force_insert=names is None, using=alias(), update_fields=names)
        self.note_stored()

    # -- what is started --------------------------------------------------------------

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments of each run."""
        return self._input()[0]

    @args.setter
    def args(self, values: Sequence[Any]) -> None:
        self._seal(tuple(values), self.kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments of each run."""
        return self._input()[1]

    @kwargs.setter
    def kwargs(self, values: Mapping[str, Any]) -> None:
        self._seal(self.args, dict(values))

    def _input(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self.sealed_input is None:
            return (), {}
        return serialization.loads_call(unseal(bytes(self.sealed_input)))

    def _seal(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.sealed_input = seal(serialization.dumps_call(args, kwargs))

    # -- operations -------------------------------------------------------------------

    def pause(self, note: str = "") -> None:
        """Let times pass without a run; they are never caught up with.

        `note` says why, and replaces the one there is unless it is empty.
        """
        from django_workflows.store import schedules

        schedules.set_paused(self, True, note)

    async def apause(self, note: str = "") -> None:
        await sync_to_async(self.pause)(note)

    def unpause(self) -> None:
        """Go on with the next time from now."""
        from django_workflows.store import schedules

        schedules.set_paused(self, False)

    async def aunpause(self) -> None:
        await sync_to_async(self.unpause)()

    def trigger(self) -> Run:
        """Start a run now, whatever else runs, and return it.

        It works while the schedule is paused or exhausted, changes neither the next
        time nor the remaining runs, and raises what ``start()`` raises.
        """
        from django_workflows.store import schedule_runs

        return schedule_runs.trigger(self)

    async def atrigger(self) -> Run:
        return await sync_to_async(self.trigger)()

    def backfill(self, start: datetime, end: datetime) -> list[Run]:
        """Start the runs of all times from `start` to `end`, both included, at once.

        Times that have had their run are left out; returns the new runs. `overlap` does
        not matter, nor does it whether the schedule is paused, and neither the next
        time nor the remaining runs change. Raises ValueError for naive times, an end
        before the start and more than 10,000 times, and what ``start()`` raises;
        nothing is started then.
        """
        from django_workflows.store import schedule_runs

        return schedule_runs.backfill(self, start, end)

    async def abackfill(self, start: datetime, end: datetime) -> list[Run]:
        return await sync_to_async(self.backfill)(start, end)

    def next_runs(self, n: int = 10) -> list[datetime]:
        """The next `n` times from now, in UTC; fewer if the schedule ends before.

        A paused schedule has those it would have if it were not.
        """
        from django_workflows.store import schedules

        return schedules.next_runs(self, n)

    async def anext_runs(self, n: int = 10) -> list[datetime]:
        return await sync_to_async(self.next_runs)(n)
