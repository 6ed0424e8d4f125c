"""Tags for the console's own templates; projects use `workflows`."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from django_workflows.admin.dashboard.board import context_of

register = template.Library()


@register.simple_tag(takes_context=True)
def workflows_dashboard(context: Context) -> dict[str, Any] | None:
    """What the dashboard shows to the user of the page; None if they may not see it."""
    return context_of(context["request"])
