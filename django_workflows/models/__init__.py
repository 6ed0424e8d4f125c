"""The tables: runs, their logs, what goes in and out, and who works on them."""

from django_workflows.models.definition import Definition, DefinitionTrigger
from django_workflows.models.delivery import WebhookDelivery
from django_workflows.models.event import Event
from django_workflows.models.hook import Hook
from django_workflows.models.limit import Limit
from django_workflows.models.run import Run
from django_workflows.models.schedule import Schedule
from django_workflows.models.step import Step
from django_workflows.models.stream import Stream, StreamChunk
from django_workflows.models.worker import Worker

__all__ = [
    "Definition",
    "DefinitionTrigger",
    "Event",
    "Hook",
    "Limit",
    "Run",
    "Schedule",
    "Step",
    "Stream",
    "StreamChunk",
    "WebhookDelivery",
    "Worker",
]
