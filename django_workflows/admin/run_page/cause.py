"""Why the run failed, ended early or is blocked: the error, its line of code, and what
can be done about it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from django_workflows.admin.payloads import Payload, payload_text
from django_workflows.admin.run_page.addresses import step_addresses
from django_workflows.admin.run_page.sentences import linked
from django_workflows.admin.run_page.subject import Subject
from django_workflows.models import Run
from django_workflows.store.operations import Operation
from django_workflows.store.situations import Origin, cause_of

#: Children named.
_MOST = 5
_PROBLEMS = (Run.Status.FAILED, Run.Status.TIMED_OUT)


def panel(subject: Subject) -> dict[str, Any] | None:
    """The cause, if there is something to explain."""
    run = subject.run
    cause = cause_of(run)
    if cause is None:
        return None
    is_blocked = not run.is_closed
    shows_all = subject.shows_payloads
    step_url = step_addresses(subject.request)
    return {
        "title": _("Why it is blocked") if is_blocked else _title(run),
        "text": linked(cause.text if shows_all else cause.outline),
        "hides_message": cause.text != cause.outline and not shows_all,
        "origins": [
            {
                "step": origin.step,
                "step_url": step_url(origin.step_id) if origin.step_id else "",
                "line": origin.line,
                "shows_code": shows_all,
                "traceback": _traceback(origin) if shows_all else None,
            }
            for origin in cause.origins
        ],
        "is_blocked": is_blocked,
        # That somebody has ended it, or that it goes on, is no problem.
        "is_problem": is_blocked or run.status in _PROBLEMS,
        "children": _failed_children(subject),
    }


def _failed_children(subject: Subject) -> list[Operation]:
    """The children whose failure may be the run's, the last one first."""
    if subject.run.status != Run.Status.FAILED:
        return []
    failed = [
        each
        for each in subject.operations
        if each.kind == "child" and each.status == "failed" and each.run_id
    ]
    return failed[: -_MOST - 1 : -1]


def _title(run: Run) -> str:
    if run.status == Run.Status.FAILED:
        return _("Why it failed")
    if run.status == Run.Status.CONTINUED_AS_NEW:
        return _("How it goes on")
    return _("Why it ended")


def _traceback(origin: Origin) -> Payload | None:
    return payload_text(origin.traceback) if origin.traceback else None
