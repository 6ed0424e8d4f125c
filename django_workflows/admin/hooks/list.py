"""The list of hooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.admin import display
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.addresses import run_url
from django_workflows.admin.base import time_html
from django_workflows.admin.beside import Beside
from django_workflows.admin.filters import ChoiceFilter
from django_workflows.admin.hooks.forms import metadata_of
from django_workflows.admin.keyset import KeysetChangeList, LongListAdmin
from django_workflows.admin.permissions import may_see_payloads
from django_workflows.models import Hook
from django_workflows.store.health import database_now

_SEEN_AT: Beside[datetime] = Beside("seen_at")


class KindFilter(ChoiceFilter):
    """Plain hooks, or webhooks."""

    title = gettext_lazy("kind")
    parameter_name = "kind"
    offered = (
        ("plain", gettext_lazy("plain")),
        ("webhook", gettext_lazy("webhook")),
    )

    def narrowed(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        is_plain = Q(webhook="")
        return rows.filter(is_plain if value == "plain" else ~is_plain)


class HookChangeList(KeysetChangeList):
    """Knows as of when the hooks of a page are shown."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now = database_now()
        for hook in self.page.rows:
            _SEEN_AT.put(hook, now)


class HookList(LongListAdmin[Hook]):
    """Hooks that are open, the newest first."""

    ordering = ("-created_at", "-id")
    list_filter = (KindFilter,)
    list_select_related = ("run",)
    list_display_links = ("id",)
    # Not used as such, see `get_search_results`; without it there is no search.
    search_fields = ("id",)
    search_help_text = gettext_lazy("The id of a hook, or of its run.")

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return HookChangeList

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        shown = ("id", "run_link", "kind", "created")
        return (*shown, "says") if may_see_payloads(request) else shown

    def get_queryset(self, request: HttpRequest) -> QuerySet[Hook]:
        return super().get_queryset(request).defer("run__seed")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Hook], search_term: str
    ) -> tuple[QuerySet[Hook], bool]:
        term = search_term.strip().replace("\0", "")
        if not term:
            return queryset, False
        # Not by tokens: what is searched for stands in the logs of web servers.
        return queryset.filter(Q(pk=term) | Q(run_id=term)), False

    @display(description=gettext_lazy("run"))
    def run_link(self, hook: Hook) -> str:
        return format_html(
            '<a href="{}">{} <span class="dw-run-id">{}</span></a>',
            run_url(hook.run_id),
            hook.run.title,
            hook.run_id,
        )

    @display(description=gettext_lazy("kind"))
    def kind(self, hook: Hook) -> str:
        return _("webhook") if hook.webhook else _("plain")

    @display(description=gettext_lazy("created"))
    def created(self, hook: Hook) -> str:
        return time_html(hook.created_at, _SEEN_AT.of(hook))

    @display(description=gettext_lazy("what it says"))
    def says(self, hook: Hook) -> str | None:
        metadata = metadata_of(hook)
        return metadata.beginning if metadata else None
