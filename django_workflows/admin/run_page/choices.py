"""Which operations of a run a panel shows: all of them, or those of one kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_workflows.admin.run_page.addresses import address
from django_workflows.store.operations import Operation

#: Statuses that can be chosen, beside what is open and what was tried again.
_STATUSES = ("failed", "completed", "cancelled")
_KINDS = ("open", "retried", *_STATUSES)


class Choices:
    """What the parameter of this name in the address of a page chooses."""

    def __init__(
        self, request: HttpRequest, name: str, operations: Sequence[Operation]
    ) -> None:
        chosen = request.GET.get(name, "")
        self.chosen = chosen if chosen in _KINDS else ""
        self._request, self._name, self._operations = request, name, operations

    def admits(self, operation: Operation) -> bool:
        """Whether an operation is of the chosen kind."""
        if self.chosen == "open":
            return operation.is_open
        if self.chosen == "retried":
            return len(operation.attempts) > 1
        return self.chosen in ("", operation.status)

    def links(self, anchor: str, **changes: object) -> list[dict[str, Any]]:
        """To what there is of each kind, with how much that is."""
        texts = {
            "": _("All"),
            "open": _("Open"),
            "failed": _("Failed"),
            "retried": _("Tried again"),
            "completed": _("Completed"),
            "cancelled": _("Cancelled"),
        }
        counts = self._counts()
        return [
            {
                "text": text,
                "count": counts[kind],
                "url": self._url(anchor, kind, changes),
                "is_chosen": kind == self.chosen,
            }
            for kind, text in texts.items()
            if counts[kind] or kind in ("", self.chosen)
        ]

    def _counts(self) -> dict[str, int]:
        # All kinds at once: there may be thousands.
        operations = self._operations
        statuses = Counter([each.status for each in operations])
        return {
            "": len(operations),
            "open": sum([each.finished_at is None for each in operations]),
            "retried": sum([len(each.attempts) > 1 for each in operations]),
            **{status: statuses[status] for status in _STATUSES},
        }

    def _url(self, anchor: str, kind: str, changes: dict[str, object]) -> str:
        return address(self._request, anchor, **changes, **{self._name: kind or None})
