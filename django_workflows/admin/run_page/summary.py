"""How the run stands: its status, times, and in one sentence what it is waiting for."""

from __future__ import annotations

from typing import Any

from django_workflows.admin.run_page.subject import Subject
from django_workflows.store.situations import waiting_for


def panel(subject: Subject) -> dict[str, Any]:
    """The head of the page."""
    return {"waiting_for": waiting_for(subject.run, subject.operations)}
