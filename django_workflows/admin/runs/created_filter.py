"""The filter for when runs were created."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.timezone import is_naive, localtime, make_aware
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.runs.form_filter import FormFilter
from django_workflows.core.durations import to_seconds
from django_workflows.store.health import database_now


class CreatedFilter(FormFilter):
    """Runs created within some time up to now, or between two points in time."""

    title = gettext_lazy("creation")
    button = gettext_lazy("Show")
    within = "created_within"
    bounds = ("created_after", "created_before")
    replaces = (within, *bounds)

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        #: What it has been given: text by parameter.
        self.given: dict[str, str] = {
            name: params.pop(name)[-1] for name in self.replaces if name in params
        }
        self.used_parameters.update(self.given)

    def expected_parameters(self) -> list[str | None]:
        return [*self.replaces]

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
            value = "" if moment is None else _written(moment)
            kind = "datetime-local"
            found.append({"name": name, "type": kind, "label": label, "value": value})
        return found

    def _moment(self, name: str) -> datetime | None:
        """A point in time as a form has it, in the time zone of the page, or as the API
        has it. Raises ValueError and OverflowError."""
        text = self.given.get(name)
        if not text:
            return None
        moment = datetime.fromisoformat(text)
        return localtime(make_aware(moment) if is_naive(moment) else moment)


def _written(moment: datetime) -> str:
    """As fields of forms have it, so that the same is chosen when it is sent again."""
    is_round = not (moment.second or moment.microsecond)
    timespec = "minutes" if is_round else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=timespec)
