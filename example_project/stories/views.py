"""Pages that start stories and show them while they are being written.

They are for staff, like the websocket behind them: who may follow a run is decided by
`WORKFLOWS["PERMISSION_CLASSES"]`, whose default is REST framework's `IsAdminUser`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from django_workflows.models import Run
from example_project.shop.models import Product

from .forms import StoryForm
from .workflows import tell_story

#: Stories in the list.
RECENT = 12

View = Callable[..., HttpResponse]


def strict_policy(view: View) -> View:
    """Allow the page nothing that does not come from this site in a file of its own."""

    @wraps(view)
    def inner(request: HttpRequest, **captured: str) -> HttpResponse:
        response = view(request, **captured)
        response["Content-Security-Policy"] = (
            "default-src 'self'; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'"
        )
        return response

    return inner


@staff_member_required
@require_http_methods(["GET", "POST"])
@strict_policy
def index(request: HttpRequest) -> HttpResponse:
    """Ask for a story, and see the latest ones."""
    form = StoryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        product: Product = form.cleaned_data["product"]
        run = tell_story.options(attributes={"product": product.name}).start(product.pk)
        return redirect("stories:story", run_id=run.pk)
    recent = Run.objects.for_workflow(tell_story).order_by("-created_at", "-id")
    return render(
        request, "stories/index.html", {"form": form, "stories": recent[:RECENT]}
    )


@staff_member_required
@require_safe
@strict_policy
def story(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show one story; its address is enough to come back to it at any time."""
    runs = Run.objects.for_workflow(tell_story)
    run = get_object_or_404(runs, pk=run_id)
    return render(request, "stories/story.html", {"run": run})
