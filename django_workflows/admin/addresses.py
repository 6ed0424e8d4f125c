"""Where the pages of things are."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib.admin.utils import quote, unquote
from django.urls import reverse

from django_workflows.models import Hook, Run


def run_url(run: Run | str, page: str = "change") -> str:
    """The page of a run, given by itself or by its id, or another page about it."""
    run_id = run if isinstance(run, str) else run.pk
    return reverse(f"admin:django_workflows_run_{page}", args=[_part(run_id)])


def hook_url(hook: Hook) -> str:
    """The page of a hook."""
    return reverse("admin:django_workflows_hook_change", args=[_part(hook.pk)])


def runs_url(**attributes: str) -> str:
    """The list of the runs that have these attributes."""
    query = {f"attributes.{name}": value for name, value in attributes.items()}
    return f"{reverse('admin:django_workflows_run_changelist')}?{urlencode(query)}"


def _part(key: str) -> str:
    """A key as a part of an address of the admin: as it is, if that is clear."""
    return key if unquote(key) == key and key.isprintable() else quote(key)
