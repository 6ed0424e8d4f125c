"""How a run stands, in words: what it is waiting for, and why it is where it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from django_workflows.core.code_lines import CodeLine, code_line, named_line
from django_workflows.core.rendering import error_to_json, traceback_of
from django_workflows.models import Event, Run, Step
from django_workflows.replay import events as log
from django_workflows.replay.registry import registry
from django_workflows.store.chains import current_run_id
from django_workflows.store.database import alias
from django_workflows.store.health import database_now, served_queues
from django_workflows.store.history import sealed_end
from django_workflows.store.operations import Operation

#: Operations named in one sentence.
_MOST = 5


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an error comes from."""

    #: Empty if nothing was raised that has one.
    traceback: str
    #: The line of the project's code.
    line: CodeLine | None
    #: The step that raised it, and its id; empty for the workflow's own code.
    step: str = ""
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a run has ended as it did, or is blocked."""

    text: str
    #: Type and message of what was raised.
    error: dict[str, str] | None = None
    #: Where it comes from: first the steps, then the workflow.
    origins: tuple[Origin, ...] = ()
    #: The text without the message of the error, which may repeat what payloads hold.
    outline: str = ""

    @property
    def lines(self) -> tuple[CodeLine, ...]:
        """The lines of the project's code that it comes from."""
        lines = (origin.line for origin in self.origins)
        return tuple(line for line in lines if line is not None)

    def as_json(self) -> dict[str, Any]:
        lines = [line.as_json() for line in self.lines]
        return {"text": self.text, "error": self.error, "lines": lines}


def waiting_for(run: Run, operations: Sequence[Operation]) -> str:
    """What an open run is waiting for, as a sentence; empty for one that has ended."""
    if run.is_closed:
        return ""
    if run.status == Run.Status.PAUSED:
        return _("Waiting to be resumed.")
    if run.blocked_reason:
        return _("Blocked: waiting for other code, and tried again at %(time)s.") % {
            "time": _time(run.wake_at)
        }
    if run.queued_at is not None:
        return _("Waiting since %(time)s for a place under its limits.") % {
            "time": _time(run.queued_at)
        }
    if run.status == Run.Status.PENDING:
        if run.wake_at is not None and run.wake_at > database_now():
            return _("Waiting for its start at %(time)s.") % {
                "time": _time(run.wake_at)
            }
        return _for_a_worker(run.queue)
    awaited = [each for each in operations if each.is_open]
    if not awaited:
        return _for_a_worker(run.queue) if not run.owner else _("Running its code.")
    untaken = _untaken(awaited[:_MOST])
    named = "; ".join(
        untaken.get(each.id) or _awaited(each) for each in awaited[:_MOST]
    )
    if len(awaited) > _MOST:
        named = _("%(named)s; and %(count)d more") % {
            "named": named,
            "count": len(awaited) - _MOST,
        }
    return _("Waiting for %(named)s.") % {"named": named}


def cause_of(run: Run) -> Cause | None:
    """Why a run is blocked, or has ended otherwise than by returning; None if there is
    nothing to explain."""
    if run.blocked_reason and not run.is_closed:
        reason, _newline, stack = run.blocked_reason.partition("\n")
        outline = _("Blocked: %(type)s") % {"type": reason.partition(":")[0]}
        origin = Origin(stack, code_line(stack) or named_line(reason))
        return Cause(reason, origins=(origin,), outline=outline)
    explain: dict[str, Callable[[Run], Cause]] = {
        Run.Status.FAILED: _failed,
        Run.Status.CANCELLED: _stopped,
        Run.Status.TERMINATED: _stopped,
        Run.Status.TIMED_OUT: _timed_out,
        Run.Status.CONTINUED_AS_NEW: _continued,
    }
    return explain[run.status](run) if run.status in explain else None


def _untaken(operations: Sequence[Operation]) -> dict[str, str]:
    """What steps wait for that no worker has taken yet, or not again, by their ids."""
    steps = {
        each.id: each
        for each in operations
        if each.kind == "step" and not _is_at_work(each)
    }
    if not steps:
        return {}
    rows = Step.objects.using(alias()).filter(pk__in=steps, status=Step.Status.PENDING)
    served = served_queues()
    known = registry.known_steps()
    found = {}
    for row in rows.only("name", "queue", "limit_key"):
        operation = steps[row.pk]
        action = registry.action_of_row(row.name)
        is_unknown = bool(action) and row.name not in known
        values = {"name": operation.name, "queue": row.queue, "action": action}
        if operation.attempts:
            if not is_unknown:
                continue
            values |= _next_attempt(operation)
            text = _(
                "step %(name)s, whose attempt %(number)s, due at %(time)s, is to be "
                "taken by a worker of queue %(queue)s that knows the action "
                "%(action)s, which this process does not"
            )
        elif row.queue not in served:
            text = _(
                "step %(name)s to be taken by a worker of queue %(queue)s, which none "
                "serves: start one with manage.py workflows worker --queue %(queue)s"
            )
        elif row.limit_key:
            text = _("step %(name)s to get a place under its limits")
        elif is_unknown:
            text = _(
                "step %(name)s to be taken by a worker of queue %(queue)s that knows "
                "the action %(action)s, which this process does not"
            )
        elif action:
            text = _(
                "step %(name)s to be taken by a worker of queue %(queue)s that knows "
                "the action %(action)s"
            )
        else:
            text = _("step %(name)s to be taken by a worker of queue %(queue)s")
        found[row.pk] = text % values
    return found


def _is_at_work(step: Operation) -> bool:
    return bool(step.attempts) and step.attempts[-1].finished_at is None


def _next_attempt(step: Operation) -> dict[str, str]:
    last = step.attempts[-1]
    return {"number": str(last.number + 1), "time": _time(last.retry_at)}


def _awaited(operation: Operation) -> str:
    values = {"name": operation.name or operation.id, "time": _time(operation.due_at)}
    if operation.kind == "wait":
        if operation.name == "sleep":
            return _("its sleep to end at %(time)s") % values
        return _("a timer at %(time)s") % values
    if operation.kind == "hook":
        return _("a payload for hook %(id)s") % {"id": operation.id}
    if operation.kind == "child":
        status = operation.status
        if status in Run.Status.values:
            status = str(Run.Status(status).label)
        values |= {"id": operation.run_id, "status": status}
        return _("child %(name)s, run %(id)s (%(status)s)") % values
    if not operation.attempts:
        return _("step %(name)s to be taken by a worker") % values
    attempt = operation.attempts[-1]
    if _is_at_work(operation):
        values |= {"number": str(attempt.number), "time": _time(attempt.started_at)}
        return _("step %(name)s, whose attempt %(number)s began at %(time)s") % values
    values |= _next_attempt(operation)
    return _("step %(name)s, whose attempt %(number)s is due at %(time)s") % values


def _for_a_worker(queue: str) -> str:
    if queue in served_queues():
        return _("Waiting for a free worker of queue %(queue)s.") % {"queue": queue}
    return _(
        "Waiting for a worker of queue %(queue)s, which none serves: start one with "
        "manage.py workflows worker --queue %(queue)s."
    ) % {"queue": queue}


def _failed(run: Run) -> Cause:
    sealed = sealed_end(run)
    error = error_to_json(sealed or b"")
    end = _last(run, (log.RUN_FAILED,))
    ids = end.details.get("failed", []) if end is not None else []
    steps = Event.objects.using(alias()).filter(
        run_id=run.pk,
        type__in=(log.STEP_CREATED, log.STEP_FAILED),
        correlation_id__in=ids,
    )
    events = list(steps.order_by("-seq"))
    names = {
        event.correlation_id: event.details.get("title", event.details.get("name", ""))
        for event in events
        if event.type == log.STEP_CREATED
    }
    origins = [
        _origin(
            bytes(event.payload),
            names.get(event.correlation_id, ""),
            event.correlation_id,
        )
        for event in events
        if event.type == log.STEP_FAILED and event.payload is not None
    ]
    if sealed is not None:
        origins.append(_origin(sealed))
    text = _("Failed: %(type)s: %(message)s") % error
    outline = _("Failed: %(type)s") % error
    if names:
        named = {"names": ", ".join(sorted(set(names.values())))}
        text = _("%(text)s (step %(names)s)") % {"text": text, **named}
        outline = _("%(text)s (step %(names)s)") % {"text": outline, **named}
    return Cause(text, error, tuple(origins), outline)


def _origin(sealed: bytes, step: str = "", step_id: str = "") -> Origin:
    traceback = traceback_of(sealed)
    return Origin(traceback, code_line(traceback), step, step_id)


def _stopped(run: Run) -> Cause:
    reason = ""
    asked = (log.RUN_CANCELLED, log.RUN_TERMINATED, log.CANCEL_REQUESTED)
    for event in _all(run, asked):
        reason = reason or event.details.get("reason", "")
    status = str(run.get_status_display()).capitalize()
    if not reason:
        return _plain(_("%(status)s, no reason given.") % {"status": status})
    return _plain(_("%(status)s: %(reason)s") % {"status": status, "reason": reason})


def _timed_out(run: Run) -> Cause:
    return _plain(
        _("Not done by its deadline, %(time)s.") % {"time": _time(run.deadline_at)}
    )


def _continued(run: Run) -> Cause:
    return _plain(_("It goes on as run %(id)s.") % {"id": current_run_id(run.pk)})


def _plain(text: str) -> Cause:
    return Cause(text, outline=text)


def _all(run: Run, kinds: Sequence[str]) -> list[Event]:
    """The run's entries of some types, the last one first."""
    events = Event.objects.using(alias()).filter(run_id=run.pk, type__in=kinds)
    return list(events.filter(seq__isnull=False).order_by("-seq"))


def _last(run: Run, kinds: Sequence[str]) -> Event | None:
    return next(iter(_all(run, kinds)), None)


def _time(time: datetime | None) -> str:
    return _("an unknown time") if time is None else f"{localtime(time):%F %T %Z}"
