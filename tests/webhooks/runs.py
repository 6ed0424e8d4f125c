"""Runs that wait for requests, and what they have received."""

from __future__ import annotations

from typing import Any

from django_workflows import (
    WebhookRequest,
    start,
)
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester
from tests.webhooks.workflows import receiving as receive

ROUTE = "/.well-known/workflow/v1/webhook/"


def received(run: Run) -> list[WebhookRequest]:
    """The requests that were delivered to a run, oldest first."""
    events = Event.objects.filter(run=run, type="hook_received").order_by("id")
    return [event.data["payload"] for event in events]


def waiting(workflows: WorkflowTester, *args: Any, **options: Any) -> Run:
    """A run of `receiving` that waits for a request."""
    run = start(receive, *args, **options)
    workflows.run_until_idle()
    return run
