"""What there is to know about each run of a list, in a line: why it failed, what blocks
it, what it waits for. A fixed number of queries for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.text import Truncator
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from django_workflows.admin.durations import in_words
from django_workflows.admin.payloads import TOO_LONG
from django_workflows.models import Hook, Run
from django_workflows.store.database import alias
from django_workflows.store.failed import errors_of

#: Characters of an error or of what blocks a run.
_LONGEST = 160


@dataclass(frozen=True, slots=True)
class Details:
    """A line about a run, and at what time that will be, if it says so."""

    text: str = ""
    time: str = ""


def details_of(
    runs: Sequence[Run], now: datetime, *, shows_payloads: bool
) -> dict[str, Details]:
    """By the ids of the runs. Without payloads errors are told by their types only."""
    errors = errors_of([run for run in runs if run.status == Run.Status.FAILED])
    waiting = [run.pk for run in runs if _is_waiting(run)]
    on_hooks = set()
    if waiting:
        hooks = Hook.objects.using(alias()).filter(run_id__in=waiting).order_by()
        # A run may have thousands.
        on_hooks = set(hooks.values_list("run_id", flat=True).distinct())

    def tell(run: Run) -> Details:
        if run.blocked_reason and not run.is_closed:
            kind, colon, reason = run.blocked_reason.partition("\n")[0].partition(": ")
            return Details(
                _shortened(f"{kind}{colon}{reason}" if shows_payloads else kind)
            )
        if run.pk in errors:
            error = errors[run.pk]
            if error is None:
                return Details(str(TOO_LONG))
            text = f"{error['type']}: {error['message']}" if shows_payloads else ""
            return Details(_shortened(text or error["type"]))
        if _is_waiting(run):
            return _awaited(run, now, on_hook=run.pk in on_hooks)
        if run.status == Run.Status.PENDING and run.wake_at and run.wake_at > now:
            text = _("starts in %(time)s") % {"time": in_words(run.wake_at - now)}
            return Details(text, _clock(run.wake_at))
        return Details()

    return {run.pk: tell(run) for run in runs}


def _is_waiting(run: Run) -> bool:
    is_going_on = run.status == Run.Status.RUNNING and not run.blocked_reason
    return is_going_on and run.is_waiting


def _awaited(run: Run, now: datetime, *, on_hook: bool) -> Details:
    """Whether it waits for a payload, and when a timer wakes it."""
    if run.wake_at is None or run.wake_at <= now:
        return Details(_("for a payload") if on_hook else "")
    left = {"time": in_words(run.wake_at - now)}
    text = (
        _("for a payload, or a timer in %(time)s")
        if on_hook
        else _("wakes in %(time)s")
    )
    return Details(text % left, _clock(run.wake_at))


def _shortened(text: str) -> str:
    return Truncator(text).chars(_LONGEST)


def _clock(time: datetime) -> str:
    return f"{localtime(time):%Y-%m-%d %H:%M:%S %Z}"
