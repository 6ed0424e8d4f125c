"""Who did what to the run and when: in the admin, and by other ways."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.run_page.subject import Subject
from django_workflows.store.people.deeds import deeds_of, ended_by


def panel(subject: Subject) -> dict[str, Any] | None:
    """The deeds, the last one first, and who ended the run, in a sentence."""
    deeds = deeds_of(subject.run)
    if not deeds:
        return None
    return {
        "title": _("Who did what"),
        "ended_by": ended_by(subject.run, deeds),
        "deeds": deeds,
    }
