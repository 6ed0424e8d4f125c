"""The list of events: all of them, or those of one run."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import display
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.addresses import run_url
from django_workflows.admin.base import column, time_html
from django_workflows.admin.filters import ChoiceFilter, RelatedFilter, without_nul
from django_workflows.admin.keyset import LongListAdmin
from django_workflows.models import Event
from django_workflows.replay import events as log

_TYPE = column("type", gettext_lazy("type"))
_ABOUT = column("correlation_id", gettext_lazy("about"))


class RunFilter(RelatedFilter):
    """The log of one run: its numbered events."""

    title = gettext_lazy("run")
    parameter_name = "run"

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return _log_of(rows, value)


class TypeFilter(ChoiceFilter):
    """Events of a type, in the log of a run: among all events no index finds them."""

    title = gettext_lazy("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if _run_of(request):
            return [(name, name) for name in sorted(log.ALL)]
        if self.value() is not None:
            raise IncorrectLookupParameters
        return []


class EventList(LongListAdmin[Event]):
    """Events, the newest first."""

    list_display = ("number", _TYPE, "created", "of_run", _ABOUT)
    list_display_links = ("number", _TYPE)
    list_filter = (RunFilter, TypeFilter)
    # Not used as such, see `get_search_results`; without it there is no search.
    search_fields = ("run_id",)
    search_help_text = gettext_lazy("The id of a run.")
    actions = None
    list_defer = ("payload", "detail")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        # Each in the words of an index, which has no events without a number.
        return ("-seq",) if _run_of(request) else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        run_id = search_term.strip()
        return (_log_of(queryset, run_id) if run_id else queryset), False

    @display(description=gettext_lazy("number"))
    def number(self, event: Event) -> str:
        """Its place in the log of its run."""
        return _("unread") if event.seq is None else f"#{event.seq}"

    @display(description=gettext_lazy("created"))
    def created(self, event: Event) -> SafeString:
        return time_html(event.created_at)

    @display(description=gettext_lazy("run"))
    def of_run(self, event: Event) -> SafeString:
        return format_html('<a href="{}">{}</a>', run_url(event.run_id), event.run_id)


def _run_of(request: HttpRequest) -> str:
    """The run whose log is asked for; empty for all events."""
    return request.GET.get(RunFilter.parameter_name) or request.GET.get("q", "").strip()


def _log_of(events: QuerySet[Any], run_id: str) -> QuerySet[Any]:
    return events.filter(run_id=without_nul(run_id), seq__isnull=False)
