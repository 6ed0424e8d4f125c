"""How the run stands: its status, times, and in one sentence what it is waiting for;
and what can be done about it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_workflows.admin.addresses import definition_url, run_url
from django_workflows.admin.attributes import attribute_text
from django_workflows.admin.badges import badge_of
from django_workflows.admin.durations import in_words, time_apart
from django_workflows.admin.permissions import VERBS, may, may_view
from django_workflows.admin.run_page.retries import retried
from django_workflows.admin.run_page.sentences import linked
from django_workflows.admin.run_page.subject import Subject
from django_workflows.admin.steering import EFFECTS, LABELS, possible
from django_workflows.core.details import as_object
from django_workflows.core.rendering import to_json
from django_workflows.definitions.storing import versions_of
from django_workflows.models import Run, Schedule, Worker
from django_workflows.store.database import alias
from django_workflows.store.situations import waiting_for

#: The buttons, from what helps a run on to what ends it.
_ENDS = ("cancel", "terminate")
_ORDER = ("resume", "retry", "wake", "pause", "replay", "fork", *_ENDS)


def panel(subject: Subject) -> dict[str, Any]:
    """The head of the page."""
    run = subject.run
    look, status = badge_of(run)
    return {
        "title": _("Summary"),
        "attributes": _attributes(run),
        "definition": _definition(subject),
        "schedule": _schedule(subject),
        "waiting_for": _waiting_for(subject),
        "look": look,
        "status": status,
        "retried": retried(run, subject.operations),
        "buttons": _buttons(subject),
        "again_url": _again_url(subject),
        "worker": _worker(run.owner),
        "links_worker": may_view(subject.request, "worker"),
        "timeout": None if run.timeout is None else in_words(run.timeout),
        "since": _since(subject),
        **_lengths(subject),
    }


def _waiting_for(subject: Subject) -> SafeString:
    """What it waits for, as a sentence that leads there."""
    operations = subject.operations
    hooks = {each.id for each in operations if each.kind == "hook" and each.is_open}
    return linked(waiting_for(subject.run, operations), hooks)


def _attributes(run: Run) -> list[str]:
    """Each of them as `name=value`, as it is searched for."""
    return [
        f"{name}={attribute_text(value)}"
        for name, value in to_json(as_object(run.attributes)).items()
    ]


def _definition(subject: Subject) -> dict[str, Any] | None:
    """The version of a definition that it executes, and its page for those who may see
    definitions."""
    run = subject.run
    if not run.definition_id:
        return None
    version = run.attribute("definition_version")
    url = ""
    if isinstance(version, int) and may_view(subject.request, "definition"):
        row = versions_of(run.definition_id).filter(version=version).first()
        if row is not None and row.deleted_at is None:
            url = definition_url(row.pk)
    return {"version": version, "url": url}


def _schedule(subject: Subject) -> Schedule | None:
    """The schedule that started it, for those who may see schedules."""
    name = subject.run.attribute("schedule")
    if not isinstance(name, str) or not may_view(subject.request, "schedule"):
        return None
    return Schedule.objects.using(alias()).filter(name=name).first()


def _buttons(subject: Subject) -> list[dict[str, Any]]:
    """What can be done now by this user."""
    run = subject.run
    allowed = [verb for verb in VERBS if may(subject.request, verb)]
    verbs = possible(run, allowed, subject.operations)
    calls_steps = any(each.kind == "step" for each in subject.operations)
    if "replay" in verbs and calls_steps:
        verbs.append("fork")
    return [
        {
            "label": LABELS[verb],
            "effect": EFFECTS[verb],
            "is_end": verb in _ENDS,
            "url": run_url(run, verb),
        }
        for verb in sorted(verbs, key=_ORDER.index)
    ]


def _again_url(subject: Subject) -> str:
    """Where it can be started again with changed input; empty for who may not."""
    run = subject.run
    if not (may(subject.request, "start") and subject.shows_payloads):
        return ""
    if not run.definition_id:
        return f"{reverse('admin:django_workflows_run_start')}?again={run.pk}"
    if not versions_of(run.definition_id).filter(deleted_at=None).exists():
        return ""
    query = urlencode({"id": run.definition_id, "again": run.pk})
    return f"{reverse('admin:django_workflows_definition_start')}?{query}"


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


def _since(subject: Subject) -> str:
    """How long ago it ended, and how long it took or has been going on."""
    run, now = subject.run, subject.now
    if run.finished_at is None:
        if run.started_at is None:
            return _("created %(ago)s ago") % {"ago": in_words(now - run.created_at)}
        return _("for %(length)s") % {"length": in_words(now - run.started_at)}
    ended = in_words(now - run.finished_at)
    if run.started_at is None:
        return time_apart(run.finished_at, now)
    took = in_words(run.finished_at - run.started_at)
    return _("%(ago)s ago, after %(took)s") % {"ago": ended, "took": took}


def _worker(owner: str) -> Worker | str:
    """Who advances the run; its id alone if its row is gone, empty if nobody does."""
    if not owner:
        return ""
    return Worker.objects.using(alias()).filter(pk=owner).first() or owner
