"""The run's hooks: those that are open, with forms to resume them, and those before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from django_workflows.admin.hooks.forms import OpenHook
from django_workflows.admin.payloads import Payload, payload_of
from django_workflows.admin.run_page.subject import Subject
from django_workflows.models import Hook
from django_workflows.store.database import alias
from django_workflows.store.operations import Operation
from django_workflows.store.timeline import add_payloads

#: Open hooks that have a form on the page, and others that are listed.
MOST_OPEN, MOST_PAST = 10, 50
#: How hooks end.
_ENDS: dict[str, str | Promise] = {
    "open": gettext_lazy("open"),
    "disposed": gettext_lazy("disposed of"),
    "conflict": gettext_lazy("refused: another run has the token"),
    "cancelled": gettext_lazy("ended with the run"),
}


@dataclass(frozen=True)
class PastHook:
    """A hook that takes nothing any more."""

    operation: Operation
    #: None if it says nothing, or if the user may not see it.
    metadata: Payload | None

    @property
    def status(self) -> str:
        return str(_ENDS.get(self.operation.status, self.operation.status))


def panel(subject: Subject) -> dict[str, Any] | None:
    """What the run waits to be sent, and what it has been sent."""
    operations = [each for each in subject.operations if each.kind == "hook"]
    if not operations:
        return None
    rows = []
    if not subject.run.is_closed:
        hooks = Hook.objects.using(alias()).filter(run_id=subject.run.pk)
        rows = list(hooks.order_by("created_at", "id")[: MOST_OPEN + 1])
    received = {each.id: each.received for each in operations}
    opened = [
        OpenHook(hook, subject.request, received=received.get(hook.pk, 0))
        for hook in rows[:MOST_OPEN]
    ]
    past = [each for each in operations if not each.is_open]
    shown = past[-MOST_PAST:][::-1]
    if subject.shows_payloads:
        add_payloads(shown)
    query = urlencode({"q": subject.run.pk})
    is_seen = subject.request.user.has_perm("django_workflows.view_hook")
    return {
        "opened": opened,
        "has_more": len(rows) > MOST_OPEN,
        "all_url": f"{reverse('admin:django_workflows_hook_changelist')}?{query}",
        "sees_hooks": is_seen,
        "past": [_past(each) for each in shown],
        "past_count": len(past),
        "shows_payloads": subject.shows_payloads,
    }


def _past(operation: Operation) -> PastHook:
    metadata = operation.metadata
    return PastHook(operation, None if metadata is None else payload_of(metadata))
