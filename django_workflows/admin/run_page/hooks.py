"""The run's open hooks, with forms to resume them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from django_workflows.admin.hooks.forms import OpenHook
from django_workflows.admin.permissions import may_view
from django_workflows.admin.run_page.subject import Subject
from django_workflows.models import Hook
from django_workflows.store.database import alias

#: Hooks that have a form on the page.
MOST_OPEN = 10


def panel(subject: Subject) -> dict[str, Any] | None:
    """What the run can be sent; None if it takes nothing."""
    run = subject.run
    received = {
        each.id: each.received for each in subject.operations if each.kind == "hook"
    }
    if run.is_closed or not received:
        return None
    hooks = Hook.objects.using(alias()).filter(run_id=run.pk)
    rows = list(hooks.order_by("created_at", "id")[: MOST_OPEN + 1])
    opened = [
        OpenHook(hook, subject.request, received=received.get(hook.pk, 0))
        for hook in rows[:MOST_OPEN]
    ]
    if not opened:
        return None
    query = urlencode({"q": run.pk})
    return {
        "title": _("Open hooks"),
        "opened": opened,
        "has_more": len(rows) > MOST_OPEN,
        "all_url": f"{reverse('admin:django_workflows_hook_changelist')}?{query}",
        "sees_hooks": may_view(subject.request, "hook"),
    }
