"""Tags for the console's own templates; projects use `workflows`."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import RequestContext

register = template.Library()


@register.simple_tag(takes_context=True)
def workflows_dashboard(context: RequestContext) -> dict[str, Any] | None:
    """What the dashboard shows to the user of the page; None if they may not see it."""
    # Django imports the tags of all apps, also in projects without the admin.
    from django_workflows.admin.dashboard.board import context_of

    return context_of(context.request)
