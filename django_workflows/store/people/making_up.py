"""Making up for the times of a schedule, which may be thousands.

They are started in batches, each of which is committed by itself: nobody else waits
long for the database. As each time has one run at most, the rest can be started by
asking again, and nothing is started twice by asking twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from django_workflows.models import Run, Schedule
from django_workflows.store.database import alias, to_datetime
from django_workflows.store.history import batches
from django_workflows.store.people import schedules
from django_workflows.store.people.actors import Actor
from django_workflows.store.schedule_runs import key_of, names_of
from django_workflows.store.starting import key_hash

#: Times of a batch.
BATCH = 500


@dataclass
class Backfill:
    """The times between two ends that have had no run yet, in microseconds."""

    schedule: Schedule
    times: Sequence[int]
    #: The ids of the runs that were started so far.
    started: list[str] = field(default_factory=list)

    def begin(
        self,
        actor: Actor,
        seconds: float | None = None,
        check: Callable[[list[Run]], None] | None = None,
    ) -> None:
        """Start runs, until they are there or no other batch may begin, after so many
        seconds. Raises what a start and `check` raise; batches before that stay
        started."""
        until = None if seconds is None else monotonic() + seconds
        for batch in batches(self.times, BATCH):
            ends = to_datetime(batch[0]), to_datetime(batch[-1])
            runs = schedules.backfill(actor, self.schedule, *ends, check)
            self.started += [run.pk for run in runs]
            self.times = self.times[len(batch) :]
            if until is not None and monotonic() >= until:
                return


def backfill_of(schedule: Schedule, times: Sequence[int]) -> Backfill:
    """What there is to make up for among some times of a schedule."""
    hashes = {us: key_hash(key_of(schedule, to_datetime(us))) for us in times}
    runs = Run.objects.using(alias()).filter(workflow__in=names_of(schedule))
    held: set[str | None] = set()
    for part in batches(list(hashes.values()), BATCH):
        # By the index that keys are unique by.
        found = runs.filter(key_held__in=part).order_by()
        held.update(found.values_list("key_held", flat=True))
    return Backfill(schedule, [us for us in times if hashes[us] not in held])
