"""The pages on which one run is steered: a question first, then it is done."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from django_workflows.admin.addresses import run_url
from django_workflows.admin.base import WorkflowsAdmin
from django_workflows.admin.permissions import VERBS, may
from django_workflows.admin.runs.steering import (
    LABELS,
    LONGEST_REASON,
    WITH_REASON,
    fork,
    possible,
    reason_in,
    steer,
)
from django_workflows.errors import WorkflowError
from django_workflows.models import Run
from django_workflows.store.timeline import read_timeline

#: What will happen.
EFFECTS: dict[str, str | Promise] = {
    "cancel": gettext_lazy(
        "The run is asked to stop. Its code is told where it waits, and may clean up "
        "first; a run that has not begun is cancelled at once."
    ),
    "terminate": gettext_lazy(
        "The run ends at once. None of its code runs any more: nothing is cleaned up."
    ),
    "pause": gettext_lazy(
        "Nothing new of the run starts until it is resumed. Steps that are running "
        "come to their end."
    ),
    "resume": gettext_lazy("The run goes on. If it is blocked, it is tried again now."),
    "retry": gettext_lazy(
        "The run goes on in place. What was recorded before the failure keeps its "
        "result, and what failed is tried again. What came after it is void; what it "
        "did outside is not undone."
    ),
    "replay": gettext_lazy(
        "A new run starts with the same input and today's code. This run stays as it "
        "is."
    ),
    "wake": gettext_lazy(
        "The current sleeps of the run end now. Time-outs and the delays of retries "
        "stay as they are."
    ),
    "fork": gettext_lazy(
        "A new run starts with the history of this one up to a step, and goes on anew "
        "from there. This run stays as it is."
    ),
}
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

if TYPE_CHECKING:
    _Admin = WorkflowsAdmin[Run]
else:
    _Admin = object


class SteeringPages(_Admin):
    """Adds to the admin of runs a page for each verb, and one to fork a run."""

    def get_urls(self) -> list[URLPattern]:
        """`run/<id>/<verb>/`, before Django's own."""
        own = [
            path(
                f"<path:object_id>/{verb}/",
                self.admin_site.admin_view(partial(self.steer_view, verb=verb)),
                name=f"django_workflows_run_{verb}",
            )
            for verb in VERBS
        ]
        fork = path(
            "<path:object_id>/fork/",
            self.admin_site.admin_view(self.fork_view),
            name="django_workflows_run_fork",
        )
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
        if verb not in possible(run):
            text = _("This is not possible: the run is %(status)s.")
            messages.error(request, text % {"status": run.get_status_display()})
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
            each
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
            return self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined,no-any-return]
                request, self.opts, object_id
            )
        return run

    def _ask(
        self, request: HttpRequest, run: Run, verb: str, **more: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": LABELS.get(verb, _("Fork")),
            "opts": self.opts,
            "media": self.media,
            "run": run,
            "verb": verb,
            "effect": EFFECTS[verb],
            "button": BUTTONS[verb],
            "asks_for_reason": verb in WITH_REASON,
            "longest_reason": LONGEST_REASON,
            "back": run_url(run),
            **more,
        }
        template = "admin/django_workflows/run/confirm.html"
        return TemplateResponse(request, template, context)


def _to(run: Run) -> HttpResponse:
    return HttpResponseRedirect(run_url(run))
