"""What the page of a definition shows: its versions, and what was started from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_workflows.admin.definitions.form import pretty
from django_workflows.admin.definitions.graphs import picture_of
from django_workflows.admin.permissions import may, may_view
from django_workflows.definitions.classes import classes
from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.definitions.storing import Current, versions_of
from django_workflows.models import Definition, Run
from django_workflows.replay.registry import EXECUTING
from django_workflows.store.attributes import attribute_is
from django_workflows.store.database import alias

#: Versions, and executions, that a page shows.
SHOWN = 20
#: Lines of a version that are compared; with many more it takes minutes.
MOST_LINES = 5_000


@dataclass(frozen=True, slots=True)
class Version:
    """An entry in the list of versions."""

    id: int
    number: int
    created_at: datetime
    by: str
    is_current: bool
    is_shown: bool


def page_of(
    request: HttpRequest,
    definition: WorkflowDefinition,
    row: Definition | None,
    current: Current | None,
) -> dict[str, Any]:
    """What the page of a version shows, besides its editor; `row` is None for one of a
    class that was never stored."""
    current_id = None if current is None else current.row_id
    is_current = current is not None and (row is None or row.pk == current_id)
    defined = classes.get(definition.id)
    sees_runs = may_view(request, "run")
    return {
        "definition": definition,
        "original": row,
        "current": current,
        "is_current": is_current,
        "is_code": row is None or row.is_code,
        "code": f"{defined.__module__}.{defined.__qualname__}" if defined else "",
        "text": pretty(definition),
        "picture": picture_of(definition),
        "versions": _versions(definition.id, row, current_id),
        "diff": "" if current is None else _diff(definition, current.definition),
        "runs": _runs(definition.id) if sees_runs else None,
        "may_start": current is not None and may(request, "start"),
    }


def _versions(
    definition_id: str, shown: Definition | None, current_id: int | None
) -> list[Version]:
    rows = list(versions_of(definition_id).reverse()[:SHOWN])
    by = _authors(rows)
    return [
        Version(
            row.pk,
            row.version,
            row.created_at,
            by.get(str(row.pk), ""),
            row.pk == current_id,
            shown is not None and row.pk == shown.pk,
        )
        for row in rows
    ]


def _authors(rows: list[Definition]) -> dict[str, str]:
    """By the key of a version: who has saved it here."""
    entries = LogEntry.objects.filter(
        content_type__app_label="django_workflows",
        content_type__model="definition",
        object_id__in=[str(row.pk) for row in rows],
    )
    name = f"user__{get_user_model().USERNAME_FIELD}"
    # The first entry of a version is that of its making.
    return dict(entries.order_by("-pk").values_list("object_id", name))


def _diff(one: WorkflowDefinition, other: WorkflowDefinition) -> str:
    """What differs between two versions; empty if they are one."""
    if one.version == other.version:
        return ""
    before, after = pretty(one).splitlines(), pretty(other).splitlines()
    if len(before) + len(after) > 2 * MOST_LINES:
        return _("They are too long to be compared here.")
    lines = unified_diff(
        before,
        after,
        f"version {one.version}",
        f"version {other.version}",
        lineterm="",
    )
    return "\n".join(lines)


def _runs(definition_id: str) -> list[Run]:
    runs = Run.objects.using(alias()).filter(
        attribute_is("definition", definition_id), workflow=EXECUTING
    )
    return list(runs.order_by("-created_at", "-id")[:SHOWN])
