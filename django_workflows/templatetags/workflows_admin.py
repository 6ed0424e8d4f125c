"""Tags for the console's own templates; projects use `workflows`.

Django imports the tags of all apps, also in projects without the admin: what they need
of it is imported when they are used.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.template import RequestContext
from django.utils.safestring import SafeString

from django_workflows.models import Run

register = template.Library()


@register.simple_tag(takes_context=True)
def workflows_dashboard(context: RequestContext) -> dict[str, Any] | None:
    """What the dashboard shows to the user of the page; None if they may not see it."""
    from django_workflows.admin.dashboard.board import context_of

    return context_of(context.request)


@register.filter
def run_badge(run: Run) -> SafeString:
    """How a run stands."""
    from django_workflows.admin.badges import badge, badge_of

    return badge(*badge_of(run))
