"""By what the list of runs can be narrowed, in the words of the HTTP API."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.filters import ChoiceFilter, NameFilter, RelatedFilter
from django_workflows.admin.runs.attributes_filter import AttributesFilter
from django_workflows.admin.runs.created_filter import CreatedFilter
from django_workflows.models import Run
from django_workflows.models.run import RunQuerySet
from django_workflows.replay.registry import EXECUTING, registry
from django_workflows.store.database import alias
from django_workflows.store.distinct import distinct_values
from django_workflows.store.paging import first_of, kinds_of

#: Names offered by a filter, at most; any other can be written into the address.
_MOST = 100
#: Runs of a workflow that are asked for their versions: those started last.
_RECENT = 1_000


class StatusFilter(ChoiceFilter):
    """Runs that stand so, or in one of two ways."""

    title = gettext_lazy("status")
    parameter_name = "status"
    offered = (
        *Run.Status.choices,
        # What the dashboard counts as failures.
        ("failed,timed_out", gettext_lazy("failed or timed out")),
    )

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(status__in=value.split(","))

    def kinds(self) -> list[Q]:
        return kinds_of("status", (self.value() or "").split(","))


class BlockedFilter(ChoiceFilter):
    """Runs that cannot go on with today's code."""

    title = gettext_lazy("blocked")
    parameter_name = "blocked"
    offered = (("yes", gettext_lazy("Blocked")),)

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        assert isinstance(rows, RunQuerySet)
        return rows.blocked()


class ParentFilter(RelatedFilter):
    """The children of a run."""

    title = gettext_lazy("parent")
    parameter_name = "parent"


class WorkflowFilter(NameFilter):
    """Runs of a workflow, under its former names, too."""

    title = gettext_lazy("workflow")
    parameter_name = "workflow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        stored = distinct_values(Run, "workflow", _MOST)
        names = {registry.current_name(name) for name in stored}
        said = {EXECUTING: _("executions of definitions")}
        return sorted(
            ((name, said.get(name, name)) for name, _name in self.named(names)),
            key=lambda each: each[1],
        )

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        assert isinstance(rows, RunQuerySet)
        return rows.for_workflow(value)


class VersionFilter(NameFilter):
    """Runs of a version; which there are is known for one workflow at a time."""

    title = gettext_lazy("version")
    parameter_name = "version"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        workflow = request.GET.get(WorkflowFilter.parameter_name)
        return self.named(_versions(workflow) if workflow else [])

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        # In the words of the index, which has no runs without a version.
        return super().narrowed(rows, value).exclude(version="")


class QueueFilter(NameFilter):
    """Runs of a queue."""

    title = gettext_lazy("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return self.named(distinct_values(Run, "queue", _MOST))


FILTERS = (
    StatusFilter,
    BlockedFilter,
    ParentFilter,
    CreatedFilter,
    WorkflowFilter,
    VersionFilter,
    QueueFilter,
    AttributesFilter,
)


def _versions(workflow: str) -> list[str]:
    """The versions of a workflow that are known here, or that runs were started of."""
    if "\0" in workflow:  # another filter refuses it
        return []
    names = registry.names_of(workflow)
    runs = Run.objects.using(alias()).filter(workflow__in=names)
    recent = first_of(runs.order_by("-created_at", "-id"), _RECENT)
    used = recent.values_list("version", flat=True)
    known = {version for name in names for version in registry.versions_of(name)}
    return sorted((known | set(used)) - {""})
