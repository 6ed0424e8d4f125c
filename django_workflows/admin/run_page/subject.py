"""What the panels of a run's page are about, read once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.http import HttpRequest

from django_workflows.admin.permissions import may_see_payloads
from django_workflows.models import Run
from django_workflows.store.health import database_now
from django_workflows.store.operations import Operation
from django_workflows.store.timeline import Timeline, read_timeline


@dataclass
class Subject:
    """A run, and who looks at it."""

    request: HttpRequest
    run: Run

    @cached_property
    def timeline(self) -> Timeline:
        """What it has done and is doing, without any payloads: errors and metadata are
        added to those that are shown, by `store.timeline.add_payloads`."""
        return read_timeline(self.run)

    @property
    def operations(self) -> list[Operation]:
        """Its steps, waits, hooks and children, in the order of the calls."""
        return self.timeline.operations

    @cached_property
    def now(self) -> datetime:
        """The database's time."""
        return database_now()

    @cached_property
    def shows_payloads(self) -> bool:
        """Whether this user may see inputs, outputs, errors and other payloads."""
        return may_see_payloads(self.request)
