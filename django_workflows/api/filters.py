"""Which runs, events and steps a list shows, by what the client asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError as FormError
from django.db.models import Q, QuerySet
from django.template import loader
from django_filters.fields import BaseCSVField
from django_filters.filters import (
    BaseInFilter,
    CharFilter,
    ChoiceFilter,
    IsoDateTimeFilter,
)
from django_filters.rest_framework.backends import DjangoFilterBackend
from django_filters.rest_framework.filterset import FilterSet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from django_workflows.models import Event, Run, Step
from django_workflows.models.run import RunQuerySet
from django_workflows.replay import events as log
from django_workflows.store.attributes import attribute_is
from django_workflows.store.paging import kinds_of

ATTRIBUTE = "attributes."
#: Conditions on attributes in one request: databases do not take hundreds of them.
MOST_ATTRIBUTES = 20


class _SeveralField(BaseCSVField):
    """Choices with commas between them; nothing between two commas is none."""

    def clean(self, value: list[str] | None) -> list[str]:
        if value and "" in value:
            message = self.error_messages["invalid_choice"] % {"value": ""}
            raise FormError(message, code="invalid_choice")
        chosen: list[str] = super().clean(value or [])  # type: ignore[no-untyped-call]
        return chosen


class SeveralFilter(BaseInFilter, ChoiceFilter):
    """Leaves what has one of the values given."""

    base_field_class = _SeveralField


class RunFilter(FilterSet):
    """Filters of the list of runs; all that are given have to hold."""

    status = SeveralFilter(  # type: ignore[no-untyped-call]
        choices=Run.Status.choices,
        help_text="Several are separated by commas: runs that have one of them.",
    )
    workflow = CharFilter(method="by_workflow")
    key = CharFilter(strip=False)
    queue = CharFilter(strip=False)
    created_after = IsoDateTimeFilter(method="by_beginning")
    created_before = IsoDateTimeFilter(method="by_end")

    class Meta:
        model = Run
        fields: tuple[str, ...] = ()

    def by_workflow(self, runs: RunQuerySet, field: str, name: str) -> RunQuerySet:
        return runs.for_workflow(name)

    def by_beginning(
        self, runs: RunQuerySet, field: str, value: datetime
    ) -> RunQuerySet:
        return runs.filter(created_at__gte=_usable(field, value))

    def by_end(self, runs: RunQuerySet, field: str, value: datetime) -> RunQuerySet:
        return runs.filter(created_at__lte=_usable(field, value))

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        runs: QuerySet[Any]
        runs = super().filter_queryset(queryset)  # type: ignore[no-untyped-call]
        wanted = [
            (parameter, text)
            for parameter in self.data
            if parameter.startswith(ATTRIBUTE)
            for text in self.data.getlist(parameter)
        ]
        if len(wanted) > MOST_ATTRIBUTES:
            message = f"at most {MOST_ATTRIBUTES} can be asked for at once"
            raise ValidationError({"attributes": [message]})
        for parameter, text in wanted:
            runs = self._by_attribute(runs, parameter, text)
        return runs

    def _by_attribute(
        self, runs: QuerySet[Any], parameter: str, text: str
    ) -> QuerySet[Any]:
        if "\0" in parameter + text:
            raise ValidationError({parameter: ["null characters are not allowed"]})
        return runs.filter(attribute_is(parameter.removeprefix(ATTRIBUTE), text))


def kinds_of_runs(statuses: str) -> list[Q]:
    """What makes kinds of the runs that `status` leaves, for `store.paging`."""
    return kinds_of("status", statuses.split(","))


def _usable(field: str, value: datetime) -> datetime:
    """A point in time; one beyond the calendar in UTC is as wrong as any nonsense."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        message = f"{value.isoformat()} lies beyond the calendar in UTC"
        raise ValidationError({field: [message]}) from None


class EventFilter(FilterSet):
    """Filters of a run's events."""

    type = ChoiceFilter(choices=[(name, name) for name in sorted(log.ALL)])
    correlation_id = CharFilter(strip=False)

    class Meta:
        model = Event
        fields: tuple[str, ...] = ()


class StepFilter(FilterSet):
    """Filters of a run's steps."""

    name = CharFilter(strip=False)
    status = ChoiceFilter(choices=Step.Status.choices)

    class Meta:
        model = Step
        fields: tuple[str, ...] = ()


class Filtering(DjangoFilterBackend):
    """django-filter, whose app need not be installed: the form is our own template."""

    def to_html(self, request: Request, queryset: Any, view: APIView) -> str:
        template = loader.get_template("django_workflows/api/filters.html")
        chosen = self.get_filterset(  # type: ignore[no-untyped-call]
            request, queryset, view
        )
        return template.render({"filter": chosen}, request)
