"""The tables: runs, their logs, and who works on them."""

from django_workflows.models.event import Event
from django_workflows.models.hook import Hook
from django_workflows.models.limit import Limit
from django_workflows.models.run import Run
from django_workflows.models.step import Step
from django_workflows.models.worker import Worker

__all__ = ["Event", "Hook", "Limit", "Run", "Step", "Worker"]
