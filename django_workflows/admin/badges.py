"""How a run stands, in a word, and badges for this and for other words."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_workflows.models import Run


def badge_of(run: Run) -> tuple[str, str]:
    """What colours its badge (`dw-status-<name>`), and the word in it: the status, or
    more exactly what an open run does."""
    if run.blocked_reason and not run.is_closed:
        return "blocked", f"{run.get_status_display()}, {_('blocked')}"
    if run.status == Run.Status.RUNNING and run.is_waiting:
        return "waiting", _("waiting")
    return run.status, run.get_status_display()


def badge(look: str, text: str) -> SafeString:
    """A word in the colour of a status."""
    return format_html('<span class="dw-status dw-status-{}">{}</span>', look, text)
