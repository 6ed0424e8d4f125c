"""What the panels of a run's page are about, read once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from django.http import HttpRequest

from django_workflows.admin.permissions import may_see_payloads
from django_workflows.models import Run
from django_workflows.store.timeline import Operation, timeline


@dataclass
class Subject:
    """A run, and who looks at it."""

    request: HttpRequest
    run: Run

    @cached_property
    def operations(self) -> list[Operation]:
        """Its steps, waits, hooks and children, in the order of the calls."""
        return timeline(self.run)

    @cached_property
    def shows_payloads(self) -> bool:
        """Whether this user may see inputs, outputs, errors and other payloads."""
        return may_see_payloads(self.request)
