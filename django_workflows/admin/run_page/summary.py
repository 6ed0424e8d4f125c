"""How the run stands: its status, times, and in one sentence what it is waiting for;
and what can be done about it."""

from __future__ import annotations

import json
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from django_workflows.admin.addresses import run_url
from django_workflows.admin.durations import in_words
from django_workflows.admin.permissions import may, may_view
from django_workflows.admin.run_page.retries import retried
from django_workflows.admin.run_page.subject import Subject
from django_workflows.admin.runs.steering import LABELS, possible
from django_workflows.admin.starting.starts import INTERNAL
from django_workflows.core.rendering import to_json
from django_workflows.definitions.storing import versions_of
from django_workflows.models import Run, Schedule, Worker
from django_workflows.store.database import alias
from django_workflows.store.situations import waiting_for


def panel(subject: Subject) -> dict[str, Any]:
    """The head of the page."""
    run = subject.run
    return {
        "attributes": _attributes(run),
        "definition": _definition(subject),
        "schedule": _schedule(subject),
        "waiting_for": waiting_for(run, subject.operations),
        "is_blocked": bool(run.blocked_reason) and not run.is_closed,
        "retried": retried(run, subject.operations),
        "buttons": _buttons(subject),
        "starts_again": may(subject.request, "start")
        and subject.shows_payloads
        and run.workflow not in INTERNAL,
        "worker": _worker(run.owner),
        "links_worker": may_view(subject.request, "worker"),
        "timeout": None if run.timeout is None else in_words(run.timeout),
        **_lengths(subject),
    }


def _attributes(run: Run) -> list[str]:
    """Each of them as `name=value`, as it is searched for."""
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in to_json(run.attributes).items()
    ]


def _definition(subject: Subject) -> dict[str, Any] | None:
    """The version of a definition that it executes, and its page for those who may see
    definitions."""
    run = subject.run
    if run.title == run.workflow:
        return None
    version = run.attributes.get("definition_version")
    url = ""
    if isinstance(version, int) and may_view(subject.request, "definition"):
        row = versions_of(run.title).filter(version=version).first()
        if row is not None and row.deleted_at is None:
            url = reverse("admin:django_workflows_definition_change", args=[row.pk])
    return {"version": version, "url": url}


def _schedule(subject: Subject) -> Schedule | None:
    """The schedule that started it, for those who may see schedules."""
    name = subject.run.attributes.get("schedule")
    if not isinstance(name, str) or not may_view(subject.request, "schedule"):
        return None
    return Schedule.objects.using(alias()).filter(name=name).first()


def _buttons(subject: Subject) -> list[dict[str, Any]]:
    """What can be done now by this user."""
    run = subject.run
    verbs = [verb for verb in possible(run) if may(subject.request, verb)]
    buttons = [(verb, str(LABELS[verb])) for verb in verbs]
    calls_steps = any(each.kind == "step" for each in subject.operations)
    if "replay" in verbs and calls_steps:
        buttons.append(("fork", _("Fork")))
    return [
        {
            "verb": verb,
            "label": label,
            "url": run_url(run, verb),
        }
        for verb, label in buttons
    ]


def _lengths(subject: Subject) -> dict[str, str]:
    """How long it waited until it began, and how long it has been going on since."""
    run = subject.run
    end = run.finished_at or subject.now
    if run.started_at is None:
        return {"waited": in_words(end - run.created_at), "took": ""}
    return {
        "waited": in_words(run.started_at - run.created_at),
        "took": in_words(end - run.started_at),
    }


def _worker(owner: str) -> Worker | str:
    """Who advances the run; its id alone if its row is gone, empty if nobody does."""
    if not owner:
        return ""
    return Worker.objects.using(alias()).filter(pk=owner).first() or owner
