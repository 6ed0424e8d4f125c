"""The steps, page by page: all of them, or those of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.run_page.choices import Choices
from django_workflows.admin.run_page.parts import part_of
from django_workflows.admin.run_page.step_rows import StepRows
from django_workflows.admin.run_page.subject import Subject
from django_workflows.store.operations import Operation

#: Steps of a page.
STEPS = 25
_ANCHOR = "steps"


def panel(subject: Subject) -> dict[str, Any] | None:
    """A page of the steps; the one with the step that the address names."""
    steps = [each for each in subject.operations if each.kind == "step"]
    if not steps:
        return None
    request = subject.request
    named, choices = request.GET.get("step", ""), Choices(request, "show", steps)
    shown = list(filter(choices.admits, steps))
    index = _index(shown, named)
    part = part_of(request, _ANCHOR, "steps", shown, STEPS, index, step=None)
    rows = StepRows(subject, part.rows)
    return {
        "title": _("Steps"),
        "part": part,
        "rows": [rows.row(each, is_open=each.id == named) for each in part.rows],
        "choices": choices.links(_ANCHOR, step=None, steps=None),
        "shows_payloads": subject.shows_payloads,
    }


def _index(steps: Sequence[Operation], named: str) -> int | None:
    for index, step in enumerate(steps):
        if step.id == named:
            return index
    return None
