"""Values of runs in pages: pretty, folded if they are long, and for whom they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.permissions import may_see_payloads
from django_workflows.core.rendering import text_to_show
from django_workflows.errors import WorkflowError
from django_workflows.replay.arguments import ArgumentsError

#: Characters of one value in a page; the API and the command line show all of it.
LONGEST = 20_000
#: Said in place of what is not read, as it stands among many others.
TOO_LONG = gettext_lazy("Too long to be shown here.")
#: What is no longer than this needs no folding.
_SHORT = 100


@dataclass(frozen=True, slots=True)
class Payload:
    """A value as text, shown by `admin/django_workflows/payload.html`."""

    text: str
    is_cut: bool = False

    @property
    def is_short(self) -> bool:
        """Whether it fits into a line."""
        return len(self.text) <= _SHORT and "\n" not in self.text

    @property
    def beginning(self) -> str:
        """Its first words, to be shown while it is folded."""
        words = " ".join(self.text[: 2 * _SHORT].split())
        return words if len(words) < _SHORT else f"{words[: _SHORT - 1]}…"


def payload_of(plain: Any) -> Payload:
    """JSON data as `core.rendering` and `store.rendering` give it, for a page."""
    text = json.dumps(plain, ensure_ascii=False, default=str)
    if len(text) > _SHORT:
        text = json.dumps(plain, ensure_ascii=False, default=str, indent=2)
    return payload_text(text)


def refusal_text(request: HttpRequest, error: Exception) -> str:
    """Why something was not done. Errors of the project's code may repeat arguments:
    those who may not see payloads are told their types only."""
    if isinstance(error, WorkflowError | ArgumentsError) or may_see_payloads(request):
        return text_to_show(str(error))
    return _("%(type)s: you may not see what it says, as it may repeat payloads.") % {
        "type": type(error).__name__
    }


def payload_text(text: str) -> Payload:
    """Text that may repeat what payloads hold, such as a traceback."""
    return Payload(text[:LONGEST], len(text) > LONGEST)
