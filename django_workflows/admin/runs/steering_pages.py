"""The pages on which one run is steered: a question first, then it is done."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from django_workflows.admin.addresses import run_url
from django_workflows.admin.base import WorkflowsAdmin
from django_workflows.admin.permissions import VERBS, may
from django_workflows.admin.run_page.waterfall import status_of
from django_workflows.admin.steering import (
    EFFECTS,
    LABELS,
    LONGEST_REASON,
    fork,
    possible,
    reason_in,
    refusal,
    steer,
)
from django_workflows.errors import WorkflowError
from django_workflows.models import Run
from django_workflows.store.people.steering import WITH_REASON
from django_workflows.store.timeline import read_timeline

#: The button that does it.
BUTTONS: dict[str, str | Promise] = {
    "cancel": gettext_lazy("Cancel this run"),
    "terminate": gettext_lazy("Terminate this run"),
    "pause": gettext_lazy("Pause this run"),
    "resume": gettext_lazy("Resume this run"),
    "retry": gettext_lazy("Retry this run"),
    "replay": gettext_lazy("Replay this run"),
    "wake": gettext_lazy("Wake this run"),
    "fork": gettext_lazy("Fork this run"),
}
#: What the user is told when it is done.
_DONE: dict[str, str | Promise] = {
    "cancel": gettext_lazy("The run has been asked to stop."),
    "terminate": gettext_lazy("The run has been terminated."),
    "pause": gettext_lazy("The run has been asked to pause."),
    "resume": gettext_lazy("The run has been resumed."),
    "retry": gettext_lazy("The run goes on."),
    "replay": gettext_lazy("This is the new run, with the same input."),
    "wake": gettext_lazy("The run has been woken."),
}


class SteeringPages(WorkflowsAdmin[Run]):
    """Adds to the admin of runs a page for each verb, and one to fork a run."""

    def get_urls(self) -> list[URLPattern]:
        """`run/<id>/<verb>/`, before Django's own."""
        own = [
            self.own_url(verb, partial(self.steer_view, verb=verb)) for verb in VERBS
        ]
        fork = self.own_url("fork", self.fork_view)
        return [*own, fork, *super().get_urls()]

    @method_decorator(csrf_protect)
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def steer_view(
        self, request: HttpRequest, object_id: str, verb: str
    ) -> HttpResponse:
        """Ask whether it shall be done, or do it."""
        run = self._run(request, object_id, verb)
        if isinstance(run, HttpResponse):
            return run
        if request.POST.get("post") == "yes":
            return self._steer(request, run, verb)
        if verb not in possible(run, [verb]):
            messages.error(request, refusal(run, verb))
            return _to(run)
        return self._ask(request, run, verb)

    def _steer(self, request: HttpRequest, run: Run, verb: str) -> HttpResponse:
        reason = reason_in(request, verb)
        if len(reason) > LONGEST_REASON:
            text = _("The reason is too long: at most %(count)d characters.")
            messages.error(request, text % {"count": LONGEST_REASON})
            return self._ask(request, run, verb, reason=reason)
        try:
            target = steer(request, run, verb, reason)
        except WorkflowError as error:
            messages.error(request, str(error))
            return _to(run)
        messages.success(request, str(_DONE[verb]))
        return _to(target)

    @method_decorator(csrf_protect)
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def fork_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask from which step, or start the fork. `?step=` chooses one beforehand."""
        run = self._run(request, object_id, "replay")
        if isinstance(run, HttpResponse):
            return run
        if request.POST.get("post") == "yes":
            try:
                new = fork(request, run, request.POST.get("step", ""))
            except (WorkflowError, ValueError) as error:
                messages.error(request, str(error))
                return _to(run)
            messages.success(request, _("This is the new run, with the same history."))
            return _to(new)
        steps = [
            (each, status_of(each)[1])
            for each in read_timeline(run).operations
            if each.kind == "step" and each.seq
        ]
        if not steps:
            messages.error(request, _("The run has called no step so far."))
            return _to(run)
        chosen = request.GET.get("step") or request.POST.get("step")
        return self._ask(request, run, "fork", steps=steps, chosen=chosen)

    def _run(
        self, request: HttpRequest, object_id: str, permission: str
    ) -> Run | HttpResponse:
        """The run, for whoever may do this to runs; else Django's usual answer."""
        if not may(request, permission):
            raise PermissionDenied
        run = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        if run is None:
            return self.not_found(request, object_id)
        return run

    def _ask(
        self, request: HttpRequest, run: Run, verb: str, **more: Any
    ) -> HttpResponse:
        context = {
            "title": LABELS[verb],
            "run": run,
            "verb": verb,
            "effect": EFFECTS[verb],
            "button": BUTTONS[verb],
            "asks_for_reason": verb in WITH_REASON,
            "longest_reason": LONGEST_REASON,
            "back": run_url(run),
            **more,
        }
        return self.page(request, "run/confirm.html", context)


def _to(run: Run) -> HttpResponse:
    return HttpResponseRedirect(run_url(run))
