"""The list of runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.addresses import run_url
from django_workflows.admin.attributes import attribute_parameter, attribute_text
from django_workflows.admin.badges import badge_of
from django_workflows.admin.base import time_html
from django_workflows.admin.beside import Beside
from django_workflows.admin.durations import in_words
from django_workflows.admin.keyset import KeysetChangeList, LongListAdmin
from django_workflows.admin.permissions import may, may_see_payloads
from django_workflows.admin.runs.attributes_filter import asked_for
from django_workflows.admin.runs.bulk import actions_for
from django_workflows.admin.runs.details import Details, details_of
from django_workflows.admin.runs.filters import FILTERS
from django_workflows.admin.runs.search import searched
from django_workflows.core.details import as_object
from django_workflows.core.rendering import to_json
from django_workflows.core.serialization.hiding import HIDDEN
from django_workflows.models import Run
from django_workflows.store.health import database_now

#: Attributes of a run that the list shows, and characters of each.
_ATTRIBUTES, _LENGTH = 5, 40
#: The one that is not worth being told.
_USUAL_QUEUE = Run._meta.get_field("queue").default

_SEEN_AT: Beside[datetime] = Beside("seen_at")
_DETAILS: Beside[Details] = Beside("details")


class RunChangeList(KeysetChangeList):
    """Knows as of when the runs of a page are shown, what there is to know of each, and
    whether any can change."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now = database_now()
        details = details_of(
            self.page.rows, now, shows_payloads=may_see_payloads(request)
        )
        for run in self.page.rows:
            _SEEN_AT.put(run, now)
            _DETAILS.put(run, details[run.pk])
        self.is_live = any(not run.is_closed for run in self.page.rows)

    def url_for_result(self, result: Model) -> str:
        return run_url(str(result.pk))


class RunList(LongListAdmin[Run]):
    """Runs, the newest first."""

    change_list_template = "admin/django_workflows/run/list.html"
    ordering = ("-created_at", "-id")
    list_filter = FILTERS
    list_defer = ("seed",)
    # Not used as such, see `get_search_results`; without it there is no search.
    search_fields = ("id",)
    search_help_text = gettext_lazy(
        "The id of a run, its key, or an attribute such as customer=7."
    )
    list_display = ("badge", "identity", "details", "times")
    list_display_links = ("identity",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return searched(queryset, search_term), False

    def get_actions(
        self, request: HttpRequest, action_location: Any = None
    ) -> dict[str, Any]:
        # Since 6.1 Django asks for the page of a run, too, which has its own buttons.
        if getattr(action_location, "name", "") == "CHANGE_FORM":
            return {}
        return dict(actions_for(request))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if (meant := asked_for(request.GET)) is not None:
            return HttpResponseRedirect(f"{request.path}?{meant.urlencode()}")
        context = {"may_start": may(request, "start")}
        return super().changelist_view(request, context | (extra_context or {}))

    @display(description=gettext_lazy("status"))
    def badge(self, run: Run) -> SafeString:
        """Its status."""
        return format_html(
            '<span id="{}-status" class="dw-status dw-status-{}" data-live>{}</span>',
            run.pk,
            *badge_of(run),
        )

    @display(description=gettext_lazy("run"))
    def identity(self, run: Run) -> SafeString:
        """Its workflow, with the version, and below them its id and its key."""
        version = format_html(" {}", run.version) if run.version else ""
        key = format_html('<span class="dw-run-key">{}</span>', run.key or "")
        return format_html(
            '{}{} {} <span class="dw-run-id">{}</span>',
            run.title,
            version,
            key if run.key else "",
            run.pk,
        )

    @display(description=gettext_lazy("details"), empty_value="")
    def details(self, run: Run) -> SafeString:
        """Why it failed, what blocks it, or what it waits for; and its attributes."""
        said = _DETAILS.of(run)
        title = format_html(' title="{}"', said.time) if said.time else ""
        return format_html(
            '<span id="{}-details"{} data-live>{}</span> {}',
            run.pk,
            title,
            said.text,
            _attributes(run),
        )

    @display(description=gettext_lazy("created, took"))
    def times(self, run: Run) -> SafeString:
        """When it was created, and how long it took from its beginning until its end,
        or until now; and its queue, if that is not the usual one."""
        length = ""
        if run.started_at is not None:
            until = run.finished_at or _SEEN_AT.of(run)
            length = in_words(until - run.started_at)
        queue = ""
        if run.queue != _USUAL_QUEUE:
            queue = _("queue %(name)s") % {"name": run.queue}
        return format_html(
            '{} <span id="{}-duration" class="dw-quiet" data-live>{}</span> '
            '<span class="dw-quiet">{}</span>',
            time_html(run.created_at),
            run.pk,
            length,
            queue,
        )


def _attributes(run: Run) -> SafeString | str:
    """The first attributes, each of which leads to the runs that have it, too."""
    items = sorted(to_json(as_object(run.attributes)).items())
    if not items:
        return ""
    shown = format_html_join(
        " ", "{}", ((_attribute(*each),) for each in items[:_ATTRIBUTES])
    )
    if len(items) > _ATTRIBUTES:
        more = _("and %(count)d more") % {"count": len(items) - _ATTRIBUTES}
        shown = format_html("{} <span>{}</span>", shown, more)
    return format_html('<div class="dw-quiet dw-run-attributes">{}</div>', shown)


def _attribute(name: str, value: Any) -> SafeString:
    said = f"{name}={Truncator(attribute_text(value)).chars(_LENGTH)}"
    parameter = attribute_parameter(name, value)
    if parameter is None or value == HIDDEN:
        return format_html("<span>{}</span>", said)
    return format_html('<a href="?{}">{}</a>', urlencode([parameter]), said)
