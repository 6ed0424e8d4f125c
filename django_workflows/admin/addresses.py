"""Where the pages of things are."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from django.contrib.admin.utils import quote, unquote
from django.urls import reverse

from django_workflows.admin.attributes import PARAMETER
from django_workflows.models import Hook, Run, Schedule


def run_url(run: Run | str, page: str = "change") -> str:
    """The page of a run, given by itself or by its id, or another page about it."""
    run_id = run if isinstance(run, str) else run.pk
    if not run_id:  # a row that somebody has damaged leads nowhere
        return reverse("admin:django_workflows_run_changelist")
    return reverse(f"admin:django_workflows_run_{page}", args=[_part(run_id)])


def hook_url(hook: Hook) -> str:
    """The page of a hook."""
    return reverse("admin:django_workflows_hook_change", args=[_part(hook.pk)])


def definition_url(row_id: int) -> str:
    """The page of a version of a definition."""
    return reverse("admin:django_workflows_definition_change", args=[row_id])


def schedule_url(schedule: Schedule) -> str:
    """The page of a schedule."""
    return reverse("admin:django_workflows_schedule_change", args=[schedule.pk])


def event_url(event_key: int) -> str:
    """The page of an event, by the key of its row."""
    return reverse("admin:django_workflows_event_change", args=[event_key])


def runs_url(attributes: Mapping[str, str] | None = None, **filters: str) -> str:
    """The list of runs, narrowed by its filters."""
    for name, value in (attributes or {}).items():
        filters[PARAMETER + name] = value
    return f"{reverse('admin:django_workflows_run_changelist')}?{urlencode(filters)}"


def _part(key: str) -> str:
    """A key as a part of an address of the admin: as it is, if that is clear."""
    return key if unquote(key) == key and key.isprintable() else quote(key)


def runs_like_url(run: Run, **filters: str) -> str:
    """The list of the runs of the same workflow or definition, narrowed further."""
    attributes = {"definition": run.definition_id} if run.definition_id else {}
    return runs_url(attributes, **filters, workflow=run.workflow)
