"""How often a run, and what it does, was tried again."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_workflows.models import Run
from django_workflows.store.operations import Operation

#: Steps named in one sentence.
_MOST = 5


def retried(run: Run, operations: Sequence[Operation]) -> str:
    """A sentence about the retries of the run itself and of its steps."""
    parts = []
    if run.attempt > 1:
        count = run.attempt - 1
        times = ngettext("%(count)d time", "%(count)d times", count)
        parts.append(_("the run %(times)s") % {"times": times % {"count": count}})
    tries = sorted(
        (
            (operation.attempts[-1].number, operation.name)
            for operation in operations
            if operation.attempts and operation.attempts[-1].number > 1
        ),
        key=lambda each: -each[0],
    )
    for number, name in tries[:_MOST]:
        said = _("step %(name)s (%(count)d attempts)")
        parts.append(said % {"name": name, "count": number})
    if len(tries) > _MOST:
        more = len(tries) - _MOST
        said = ngettext("%(count)d more step", "%(count)d more steps", more)
        parts.append(said % {"count": more})
    if not parts:
        return _("Nothing was tried again.")
    return _("Tried again: %(parts)s.") % {"parts": "; ".join(parts)}
