"""What the panels of the dashboard are about, read once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_workflows.admin.dashboard.charts import Column
from django_workflows.admin.dashboard.periods import Period
from django_workflows.admin.dashboard.writing import whole
from django_workflows.admin.permissions import may_see_payloads, may_view
from django_workflows.models import Run, Worker
from django_workflows.store.activity import RunCounts, runs_by_status
from django_workflows.store.database import alias
from django_workflows.store.event_sample import Sample
from django_workflows.store.health import database_now, fresh_workers, queues_of
from django_workflows.store.queue_waits import COUNTED, QueueWait, waits_of_queues

#: Characters of what blocks a run that are read.
_REASON = 300


@dataclass
class View:
    """A period up to now, and who looks at it."""

    request: HttpRequest
    period: Period

    def may_view(self, model: str) -> bool:
        """Whether this user may see the rows of one of our models."""
        return may_view(self.request, model)

    @cached_property
    def shows_payloads(self) -> bool:
        """Whether this user may see the messages of errors."""
        return may_see_payloads(self.request)

    @cached_property
    def has_runs(self) -> bool:
        """Whether there is any run at all."""
        return Run.objects.using(alias()).order_by().exists()

    @cached_property
    def now(self) -> datetime:
        """The database's time."""
        return database_now()

    @cached_property
    def edges(self) -> list[datetime]:
        """Where the parts of the period begin, and where the last one ends."""
        return self.period.edges(self.now)

    @cached_property
    def columns(self) -> list[Column]:
        """The parts of the period for a chart."""
        return self.period.columns(self.edges)

    @cached_property
    def sample(self) -> Sample:
        """What the log says about the period."""
        return Sample(self.edges)

    @cached_property
    def runs(self) -> RunCounts:
        """The runs started in the period, by status."""
        return runs_by_status(self.edges, self.sample)

    @property
    def estimate(self) -> str:
        """What the numbers of runs are estimated from, in a sentence; empty if every
        run was counted."""
        if self.runs.sampled is None:
            return ""
        return _("There are too many to count: estimated from %(count)s runs.") % {
            "count": whole(self.runs.sampled)
        }

    @cached_property
    def waits(self) -> list[QueueWait]:
        """What is due in the queues."""
        return waits_of_queues(self.now)

    @cached_property
    def workers(self) -> list[Worker]:
        """The workers that are alive, with their queues."""
        return list(fresh_workers().order_by().only("queues"))

    @property
    def served_queues(self) -> set[str]:
        """The queues that have a worker now."""
        return queues_of(self.workers)

    @cached_property
    def blocked(self) -> list[Run]:
        """Blocked runs, `COUNTED` at most, with the beginnings of their reasons."""
        runs = Run.objects.using(alias()).blocked().order_by()
        reason = Left("blocked_reason", _REASON)
        shown = runs.only("workflow", "attributes").annotate(reason=reason)
        return list(shown[:COUNTED])
