"""The pages of hooks: which runs wait for something to be sent, and how to send it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from django_workflows.admin.addresses import hook_url, run_url
from django_workflows.admin.durations import time_apart
from django_workflows.admin.hooks.forms import OpenHook, hook_form, send
from django_workflows.admin.hooks.list import HookList
from django_workflows.admin.permissions import may, may_see_payloads, may_view
from django_workflows.conf import conf
from django_workflows.core.webhooks import webhook_url
from django_workflows.errors import HookNotFoundError
from django_workflows.http.discretion import takes_payloads
from django_workflows.models import Event, Hook, Run
from django_workflows.replay import events as log
from django_workflows.store.database import alias
from django_workflows.store.health import database_now
from django_workflows.store.hooks import NotValidatedHereError


@admin.register(Hook)
class HookAdmin(HookList):
    """Hooks that are open; their rows are gone when they are disposed of."""

    change_form_template = "admin/django_workflows/hook/page.html"

    def get_urls(self) -> list[URLPattern]:
        """`hook/<id>/resume/`, before Django's own."""
        return [self.own_url("resume", self.resume_view), *super().get_urls()]

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

    @takes_payloads
    @method_decorator(csrf_protect)
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send a payload, and go to the run; on the hook's page, if it is wrong.

        `?run=` is where to go if the hook is gone.
        """
        hook = self._find(unquote(object_id))
        sees = self.has_view_permission(request) or may_view(request, "run")
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
            context = self._context(request, OpenHook(hook, request, form))
            return self.page(request, "hook/page.html", context)
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
        if run_id and may_view(request, "run"):
            return HttpResponseRedirect(run_url(run_id))
        if self.has_view_permission(request):
            url = reverse("admin:django_workflows_hook_changelist")
            return HttpResponseRedirect(url)
        return HttpResponseRedirect(reverse("admin:index"))

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
            "age": time_apart(hook.created_at, database_now()),
            "run": Run.objects.using(alias()).filter(pk=hook.run_id).first(),
            "run_url": run_url(hook.run_id) if may_view(request, "run") else "",
            "webhook": hook.facts,
            "address": _address(request, hook),
            "media": self.media + opened.form.media if opened.form else self.media,
        }


def _address(request: HttpRequest, hook: Hook) -> str:
    """The token of a hook, or the URL of a webhook, by which anybody can send to it;
    empty for those who may not do so, or not see what others have sent."""
    if not (may(request, "resume") and may_see_payloads(request)):
        return ""
    if not hook.webhook:
        return hook.token
    base = conf.BASE_URL.rstrip("/") or f"{request.scheme}://{request.get_host()}"
    return webhook_url(base, hook.token)
