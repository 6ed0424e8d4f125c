"""The run's hooks that take nothing any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.payloads import Payload, payload_of
from django_workflows.admin.run_page.subject import Subject
from django_workflows.store.operations import Operation
from django_workflows.store.timeline import add_payloads

#: Hooks that are listed.
MOST_PAST = 50
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
    """The last ones, the last one first."""
    hooks = [each for each in subject.operations if each.kind == "hook"]
    past = [each for each in hooks if not each.is_open]
    if not past:
        return None
    shown = past[-MOST_PAST:][::-1]
    if subject.shows_payloads:
        add_payloads(shown)
    return {
        "title": _("Closed hooks"),
        "past": [_past(each) for each in shown],
        "past_count": len(past),
        "shows_payloads": subject.shows_payloads,
    }


def _past(operation: Operation) -> PastHook:
    metadata = operation.metadata
    return PastHook(operation, None if metadata is None else payload_of(metadata))
