"""The pages of hooks: which runs wait for something to be sent, and how to send it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from django_workflows.admin.addresses import hook_url, run_url
from django_workflows.admin.base import time_html
from django_workflows.admin.hooks.forms import OpenHook, hook_form, metadata_of, send
from django_workflows.admin.keyset import LongListAdmin
from django_workflows.admin.permissions import may, may_see_payloads
from django_workflows.conf import conf
from django_workflows.core.webhooks import webhook_url
from django_workflows.errors import HookNotFoundError
from django_workflows.models import Event, Hook
from django_workflows.replay import events as log
from django_workflows.store.database import alias
from django_workflows.store.hooks import NotValidatedHereError


class KindFilter(admin.SimpleListFilter):
    """Plain hooks, or webhooks."""

    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("plain", _("plain")), ("webhook", _("webhook"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Hook]) -> Any:
        if self.value() == "plain":
            return queryset.filter(webhook="")
        if self.value() == "webhook":
            return queryset.exclude(webhook="")
        return queryset


@admin.register(Hook)
class HookAdmin(LongListAdmin[Hook]):
    """Hooks that are open; their rows are gone when they are disposed of."""

    change_form_template = "admin/django_workflows/hook/page.html"
    ordering = ("-created_at", "-id")
    list_filter = (KindFilter,)
    list_select_related = ("run",)
    list_display_links = ("id",)
    # Not used as such, see `get_search_results`; without it there is no search.
    search_fields = ("id",)
    search_help_text = gettext_lazy("The id of a hook, or of its run.")

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
        return time_html(hook.created_at)

    @display(description=gettext_lazy("what it says"))
    def says(self, hook: Hook) -> str | None:
        metadata = metadata_of(hook)
        return metadata.beginning if metadata else None

    def get_urls(self) -> list[URLPattern]:
        """`hook/<id>/resume/`, before Django's own."""
        resume = path(
            "<path:object_id>/resume/",
            self.admin_site.admin_view(self.resume_view),
            name="django_workflows_hook_resume",
        )
        return [resume, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of a hook; what is posted to it is a payload."""
        if request.method == "POST":
            return self.resume_view(request, object_id)
        return super().change_view(request, object_id, form_url, extra_context)

    def page_of(self, request: HttpRequest, row: Hook) -> dict[str, Any]:
        """The page of a hook, with the form that resumes it."""
        return self._context(request, OpenHook(row, request))

    @method_decorator(csrf_protect)
    @method_decorator(sensitive_post_parameters())
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send a payload, and go to the run; on the hook's page, if it is wrong.

        `?run=` is where to go if the hook is gone.
        """
        hook = self._find(unquote(object_id))
        sees = self.has_view_permission(request) or _sees_runs(request)
        if not (sees and may(request, "resume")):
            raise PermissionDenied
        if hook is None:
            return self._gone(request)
        if request.method != "POST":
            return HttpResponseRedirect(hook_url(hook))
        form = hook_form(hook, request.POST)
        try:
            run = send(request, hook, form)
        except HookNotFoundError:
            return self._gone(request)
        except NotValidatedHereError:
            run = None  # the page says why
        if run is None:
            return self._show(request, OpenHook(hook, request, form))
        messages.success(request, _("The payload has been sent to the run."))
        return self._leave(request, run.pk)

    def _find(self, hook_id: str) -> Hook | None:
        hooks = Hook.objects.using(alias()).select_related("run")
        hook_id = hook_id.replace("\0", "")
        return hooks.filter(pk__in=(hook_id, quote(hook_id))).first()

    def _gone(self, request: HttpRequest) -> HttpResponse:
        messages.error(
            request,
            _(
                "Nothing was sent: the run does not wait for this any more. It has "
                "gone on, or has ended."
            ),
        )
        return self._leave(request, request.GET.get("run", ""))

    def _leave(self, request: HttpRequest, run_id: str) -> HttpResponse:
        if run_id and _sees_runs(request):
            return HttpResponseRedirect(run_url(run_id))
        if self.has_view_permission(request):
            url = reverse("admin:django_workflows_hook_changelist")
            return HttpResponseRedirect(url)
        return HttpResponseRedirect(reverse("admin:index"))

    def _show(self, request: HttpRequest, opened: OpenHook) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            **self._context(request, opened),
            "opts": self.opts,
            "original": opened.hook,
            "has_view_permission": self.has_view_permission(request),
        }
        return TemplateResponse(request, self.change_form_template, context)

    def _context(self, request: HttpRequest, opened: OpenHook) -> dict[str, Any]:
        hook = opened.hook
        received = Event.objects.using(alias()).filter(
            run_id=hook.run_id, type=log.HOOK_RECEIVED, correlation_id=hook.pk
        )
        opened.received = received.count()
        return {
            "title": _("Hook"),
            "subtitle": hook.pk,
            "opened": opened,
            "hook": hook,
            "run": hook.run,
            "run_url": run_url(hook.run_id) if _sees_runs(request) else "",
            "webhook": json.loads(hook.webhook) if hook.webhook else None,
            "address": _address(request, hook),
            "media": self.media + opened.form.media if opened.form else self.media,
        }


def _sees_runs(request: HttpRequest) -> bool:
    return request.user.has_perm("django_workflows.view_run")


def _address(request: HttpRequest, hook: Hook) -> str:
    """The token of a hook, or the URL of a webhook, by which anybody can send to it;
    empty for those who may not do so, or not see what others have sent."""
    if not (may(request, "resume") and may_see_payloads(request)):
        return ""
    if not hook.webhook:
        return hook.token
    base = conf.BASE_URL.rstrip("/") or f"{request.scheme}://{request.get_host()}"
    return webhook_url(base, hook.token)
