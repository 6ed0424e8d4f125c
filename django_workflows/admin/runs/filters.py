"""By what the list of runs can be narrowed, in the words of the HTTP API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin import ListFilter, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.timezone import is_naive, localtime, make_aware
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.keyset import RelatedFilter
from django_workflows.core.durations import to_seconds
from django_workflows.models import Run
from django_workflows.models.run import RunQuerySet
from django_workflows.replay.definitions import registry
from django_workflows.replay.registry import EXECUTING
from django_workflows.store.attributes import attribute_is
from django_workflows.store.database import alias
from django_workflows.store.distinct import distinct_values
from django_workflows.store.health import database_now

ATTRIBUTE = "attributes."
#: Names offered by a filter, at most; any other can be written into the address.
_MOST = 100
#: Attributes by which a list is narrowed at once. Databases bear some hundreds.
_MOST_ATTRIBUTES = 50
#: Runs of a workflow that are asked for their versions: those started last.
_RECENT = 1_000
#: Runs whose ids begin alike that a search finds.
_ALIKE = 100
#: The length of the longest ids.
_ID = 40


class NamesFilter(SimpleListFilter):
    """A filter whose choices are whatever names there are."""

    def names(self, request: HttpRequest) -> list[str]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = self.names(request)
        chosen = self.value()
        if chosen is not None and chosen not in names:
            names.append(chosen)
        return [(name, name) for name in names]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        chosen = self.value()
        if chosen is None:
            return None
        return queryset.filter(**{str(self.parameter_name): _without_nul(chosen)})


class StatusFilter(SimpleListFilter):
    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return list(Run.Status.choices)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        if self.value() is None:
            return None
        if self.value() not in Run.Status.values:
            raise IncorrectLookupParameters
        return queryset.filter(status=self.value())


class WorkflowFilter(NamesFilter):
    """Runs of a workflow, under its former names, too."""

    title = gettext_lazy("workflow")
    parameter_name = "workflow"

    def names(self, request: HttpRequest) -> list[str]:
        stored = distinct_values(Run, "workflow", _MOST)
        return sorted({registry.current_name(name) for name in stored})

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        said = {EXECUTING: _("executions of definitions")}
        names = [name for name, _name in super().lookups(request, model_admin)]
        return sorted(
            ((name, said.get(name, name)) for name in names), key=lambda each: each[1]
        )

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        chosen = self.value()
        if chosen is None:
            return None
        assert isinstance(queryset, RunQuerySet)
        return queryset.for_workflow(_without_nul(chosen))


class VersionFilter(NamesFilter):
    """Runs of a version; which there are is known for one workflow at a time."""

    title = gettext_lazy("version")
    parameter_name = "version"

    def names(self, request: HttpRequest) -> list[str]:
        workflow = request.GET.get(WorkflowFilter.parameter_name)
        if not workflow or "\0" in workflow:
            return []
        names = registry.names_of(workflow)
        runs = Run.objects.using(alias()).filter(workflow__in=names)
        recent = runs.order_by("-created_at", "-id")[:_RECENT]
        used = recent.values_list("version", flat=True)
        known = {version for name in names for version in registry.versions_of(name)}
        return sorted((known | set(used)) - {""})


class QueueFilter(NamesFilter):
    title = gettext_lazy("queue")
    parameter_name = "queue"

    def names(self, request: HttpRequest) -> list[str]:
        return distinct_values(Run, "queue", _MOST)


class BlockedFilter(SimpleListFilter):
    """Runs that cannot go on with today's code."""

    title = gettext_lazy("blocked")
    parameter_name = "blocked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return [("yes", _("Blocked"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        if self.value() is None:
            return None
        if self.value() != "yes":
            raise IncorrectLookupParameters
        assert isinstance(queryset, RunQuerySet)
        return queryset.blocked()


class ParentFilter(RelatedFilter):
    """The children of a run."""

    title = gettext_lazy("parent")
    parameter_name = "parent"

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        chosen = self.value()
        return None if chosen is None else queryset.filter(parent=_without_nul(chosen))


class CreatedFilter(ListFilter):
    """Runs created within some time up to now, or between two points in time."""

    title = gettext_lazy("creation")
    template = "admin/django_workflows/run/created_filter.html"
    within = "created_within"
    bounds = ("created_after", "created_before")

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        #: What it has been given: text by parameter.
        self.given: dict[str, str] = {
            name: params.pop(name)[-1]
            for name in (self.within, *self.bounds)
            if name in params
        }
        self.used_parameters.update(self.given)

    def expected_parameters(self) -> list[str | None]:
        return [self.within, *self.bounds]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        try:
            if within := self.given.get(self.within):
                since = database_now() - timedelta(seconds=to_seconds(within))
                queryset = queryset.filter(created_at__gte=since)
            after, before = map(self._moment, self.bounds)
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from None
        if after is not None:
            queryset = queryset.filter(created_at__gte=after)
        if before is not None:
            queryset = queryset.filter(created_at__lte=before)
        return queryset

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        chosen = self.given.get(self.within)
        others = dict.fromkeys(self.bounds)
        for within, display in (
            (None, _("Any time")),
            ("1h", _("Past hour")),
            ("1d", _("Past 24 hours")),
            ("7d", _("Past 7 days")),
            ("30d", _("Past 30 days")),
        ):
            yield {
                "selected": within == chosen
                and not any(self.given.get(name) for name in self.bounds),
                "query_string": changelist.get_query_string(
                    {self.within: within, **others}
                ),
                "display": display,
            }

    def fields(self) -> list[dict[str, Any]]:
        """The fields of its form."""
        labels = (_("From"), _("To"))
        found = []
        for name, label in zip(self.bounds, labels, strict=True):
            moment = self._moment(name)
            value = "" if moment is None else f"{localtime(moment):%Y-%m-%dT%H:%M}"
            found.append({"name": name, "label": label, "value": value})
        return found

    def kept(self) -> list[tuple[str, str]]:
        """What the form has to send besides, so that the rest of the list's choice
        stays as it is."""
        dropped = {*self.expected_parameters(), PAGE_VAR, ERROR_FLAG}
        return [
            (name, value)
            for name, values in self.request.GET.lists()
            for value in values
            if name not in dropped
        ]

    def _moment(self, name: str) -> datetime | None:
        """A point in time as a form has it, in the time zone of the page, or as the API
        has it. Raises ValueError and OverflowError."""
        text = self.given.get(name)
        if not text:
            return None
        moment = datetime.fromisoformat(text)
        return localtime(make_aware(moment) if is_naive(moment) else moment)


class AttributesFilter(ListFilter):
    """Runs with attributes, each given as `attributes.<name>=<value>`. It is shown
    while there are any: each can be taken away."""

    title = gettext_lazy("attribute")

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        #: What it has been given: texts by parameter.
        self.given: dict[str, list[str]] = {
            name: params.pop(name)
            for name in list(params)
            if name.startswith(ATTRIBUTE)
        }
        self.used_parameters.update(self.given)

    def expected_parameters(self) -> list[str | None]:
        return list(self.given)

    def has_output(self) -> bool:
        return bool(self.given)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if sum(map(len, self.given.values())) > _MOST_ATTRIBUTES:
            raise IncorrectLookupParameters
        for name, values in self.given.items():
            for value in values:
                wanted = _without_nul(name.removeprefix(ATTRIBUTE))
                queryset = queryset.filter(attribute_is(wanted, _without_nul(value)))
        return queryset

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        yield {
            "selected": False,
            "query_string": changelist.get_query_string(dict.fromkeys(self.given)),
            "display": _("All"),
        }
        for name, values in self.given.items():
            for value in values:
                yield {
                    "selected": True,
                    "query_string": changelist.get_query_string({name: None}),
                    "display": f"{name.removeprefix(ATTRIBUTE)} = {value}",
                }


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


def searched(runs: QuerySet[Run], text: str) -> QuerySet[Run]:
    """The runs that are meant by a text: an id, a key, or an attribute as
    `customer=7`."""
    text = text.strip()
    if not text:
        return runs
    if text.startswith("wrun_"):
        return runs.filter(pk__in=_beginning_with(text))
    by_key = runs.filter(key=text)
    name, equals, value = text.partition("=")
    # Looked up before: no database finds keys and attributes by one index.
    if not equals or by_key.exists():
        return by_key
    return runs.filter(attribute_is(name.strip(), value.strip()))


def _beginning_with(text: str) -> list[str]:
    """Ids of runs that begin so. Looked up before: in the order of the list very many
    others might be read."""
    # Indexes sort by language, and know no beginnings. No id is beyond Zs.
    found = Run.objects.using(alias()).filter(
        pk__gte=text, pk__lte=text.ljust(_ID, "Z"), pk__startswith=text
    )
    return list(found.order_by("pk").values_list("pk", flat=True)[:_ALIKE])


def attribute_parameter(name: str, value: Any) -> tuple[str, str] | None:
    """The parameter that finds runs with an attribute; none finds lists and dicts."""
    if isinstance(value, dict | list):
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return ATTRIBUTE + name, text


def _without_nul(text: str) -> str:
    """A text as databases take it."""
    if "\0" in text:
        raise IncorrectLookupParameters
    return text
