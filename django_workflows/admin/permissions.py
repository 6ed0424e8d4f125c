"""What a user of the admin may do to runs and see of them."""

from __future__ import annotations

from django.http import HttpRequest

#: What can be done to a run. The permission for each is named `<verb>_run`.
VERBS = ("cancel", "terminate", "pause", "resume", "retry", "replay", "wake")


def may(request: HttpRequest, verb: str) -> bool:
    """Whether the user may do this to runs: one of `VERBS`, or "start"."""
    return _has(request, f"{verb}_run")


def may_view(request: HttpRequest, model: str) -> bool:
    """Whether the user may see the rows of one of our models, "run" for instance."""
    return _has(request, f"view_{model}") or _has(request, f"change_{model}")


def may_see_payloads(request: HttpRequest) -> bool:
    """Whether inputs, outputs, errors, tracebacks, payloads of hooks and chunks of
    streams may be in a page. Without it none of them is in the HTML."""
    return _has(request, "view_payload")


def _has(request: HttpRequest, codename: str) -> bool:
    user = request.user
    return user.is_active and user.has_perm(f"django_workflows.{codename}")
