"""The console: Django's own admin, with pages for runs and what belongs to them."""

from django_workflows.admin.definitions.admin import DefinitionAdmin
from django_workflows.admin.events.admin import EventAdmin
from django_workflows.admin.hooks.admin import HookAdmin
from django_workflows.admin.runs.admin import RunAdmin
from django_workflows.admin.schedules.admin import ScheduleAdmin
from django_workflows.admin.workers.admin import WorkerAdmin

__all__ = [
    "DefinitionAdmin",
    "EventAdmin",
    "HookAdmin",
    "RunAdmin",
    "ScheduleAdmin",
    "WorkerAdmin",
]
