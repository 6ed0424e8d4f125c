"""The list of runs."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.addresses import run_url
from django_workflows.admin.base import column, time_html
from django_workflows.admin.durations import in_words
from django_workflows.admin.keyset import KeysetChangeList, LongListAdmin
from django_workflows.admin.permissions import may, may_see_payloads
from django_workflows.admin.runs.bulk import actions_for
from django_workflows.admin.runs.filters import FILTERS, attribute_parameter, searched
from django_workflows.core.rendering import to_json
from django_workflows.core.serialization.hiding import HIDDEN
from django_workflows.models import Run
from django_workflows.store.health import database_now

#: Attributes of a run that the list shows, and characters of each.
_ATTRIBUTES, _LENGTH = 5, 40
#: Characters of what blocks a run.
_REASON = 120


_KEY = column("key", gettext_lazy("key"))
_QUEUE = column("queue", gettext_lazy("queue"))


class RunChangeList(KeysetChangeList):
    """Knows as of when the runs of a page are shown, and whether any can change."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now = database_now()
        for run in self.page.rows:
            run.seen_at = now
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
    list_display_links = ("identity",)

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        # The reason has values of the run's code in it.
        status = "status_and_reason" if may_see_payloads(request) else "status_alone"
        return (status, "identity", "times", _KEY, "shown_attributes", _QUEUE)

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
        context = {"may_start": may(request, "start")}
        return super().changelist_view(request, context | (extra_context or {}))

    @display(description=gettext_lazy("status"))
    def status_alone(self, run: Run) -> SafeString:
        """The status as a badge, and one that says that it is blocked."""
        return _status(run, "")

    @display(description=gettext_lazy("status"))
    def status_and_reason(self, run: Run) -> SafeString:
        """Also, in one line, what it is blocked by."""
        reason = run.blocked_reason.partition("\n")[0]
        return _status(run, Truncator(reason).chars(_REASON))

    @display(description=gettext_lazy("run"))
    def identity(self, run: Run) -> SafeString:
        """Its workflow, with the version, and below them its id."""
        version = format_html(" {}", run.version) if run.version else ""
        return format_html(
            '{}{} <span class="dw-run-id">{}</span>', run.title, version, run.pk
        )

    @display(description=gettext_lazy("created, took"))
    def times(self, run: Run) -> SafeString:
        """When it was created, and how long it took from its beginning until its end,
        or until now."""
        length = ""
        if run.started_at is not None:
            until = run.finished_at or run.seen_at  # type: ignore[attr-defined]
            length = in_words(until - run.started_at)
        return format_html(
            '{} <span id="{}-duration" class="dw-quiet" data-live>{}</span>',
            time_html(run.created_at),
            run.pk,
            length,
        )

    @display(description=gettext_lazy("attributes"))
    def shown_attributes(self, run: Run) -> SafeString:
        """The first attributes, each of which leads to the runs that have it, too."""
        items = sorted(to_json(run.attributes).items())
        shown = format_html_join(
            " ", "{}", ((_attribute(*i),) for i in items[:_ATTRIBUTES])
        )
        if len(items) > _ATTRIBUTES:
            more = _("and %(count)d more") % {"count": len(items) - _ATTRIBUTES}
            shown = format_html('{} <span class="dw-quiet">{}</span>', shown, more)
        return shown


def _status(run: Run, reason: str) -> SafeString:
    """What is kept up to date: the status, and whether it is blocked."""
    is_waiting = run.status == Run.Status.RUNNING and run.is_waiting
    badge: str | SafeString = ""
    if run.blocked_reason and not run.is_closed:
        badge = format_html(
            '<span class="dw-status dw-status-blocked">{}</span> '
            '<span class="dw-quiet">{}</span>',
            _("blocked"),
            reason,
        )
    return format_html(
        '<span id="{0}-status" class="dw-status dw-status-{1}" data-live>{2}</span> '
        '<span id="{0}-blocked" class="dw-run-blocked" data-live>{3}</span>',
        run.pk,
        "waiting" if is_waiting else run.status,
        _("waiting") if is_waiting else run.get_status_display(),
        badge,
    )


def _attribute(name: str, value: Any) -> SafeString:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    said = f"{name}={Truncator(text).chars(_LENGTH)}"
    parameter = attribute_parameter(name, value)
    if parameter is None or value == HIDDEN:
        return format_html("<span>{}</span>", said)
    return format_html('<a href="?{}">{}</a>', urlencode([parameter]), said)
