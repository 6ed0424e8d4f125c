"""Who did what to the run and when: in the admin, and by other ways.

The run's own log says what was asked for, by whatever way, and the admin's log who did
it there. Both are told as one: an entry of the former has the name in the entry of the
latter that fits it best.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import override

from django_workflows.admin.run_page.subject import Subject
from django_workflows.admin.runs.steering import (
    DONE,
    FORK_OF,
    FORKED,
    REPLAY_OF,
    SENT,
    STARTED,
    STARTED_AGAIN,
)
from django_workflows.models import Event, Run
from django_workflows.replay import events as log
from django_workflows.store.database import alias

#: Entries read of each log, the last ones.
MOST = 50

#: What entries of a run's log are called in the admin's.
_VERBS = {
    log.CANCEL_REQUESTED: "cancel",
    log.RUN_CANCELLED: "cancel",
    log.RUN_TERMINATED: "terminate",
    log.RUN_PAUSED: "pause",
    log.RUN_RESUMED: "resume",
    log.RUN_RETRIED: "retry",
    log.WAKE_REQUESTED: "wake",
}
_ENDED_BY = {Run.Status.CANCELLED: "cancel", Run.Status.TERMINATED: "terminate"}
#: How notes in the admin's log begin, and what translates them.
_WORDS: tuple[str | Promise, ...] = (
    *DONE.values(),
    FORKED,
    FORK_OF,
    REPLAY_OF,
    STARTED,
    STARTED_AGAIN,
    SENT,
)


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done to the run. `done` is untranslated, as it is stored."""

    time: datetime
    done: str
    more: str = ""
    #: The name of a user, of the admin or of others; empty if nobody knows.
    who: str = ""

    @property
    def text(self) -> str:
        """What was done, in the language of who reads it."""
        known = {_untranslated(word): str(word) for word in _WORDS}
        done = known.get(self.done, self.done)
        return f"{done}: {self.more}" if self.more else done


def panel(subject: Subject) -> dict[str, Any] | None:
    """The deeds, the last one first, and who ended the run, in a sentence."""
    run = subject.run
    deeds = told_as_one(_noted(run), _logged(run))
    if not deeds:
        return None
    return {"ended_by": _ended_by(run, deeds), "deeds": deeds}


def told_as_one(noted: Iterable[Deed], logged: Iterable[Deed]) -> list[Deed]:
    """The deeds of both logs, the last one first, each of them once.

    Two are the same if they say the same, and of several those that are nearest in
    time: the clocks of web servers and of the database differ a little.
    """
    unnamed = list(logged)
    deeds = []
    for note in noted:
        same = [deed for deed in unnamed if _says(deed) == _says(note)]
        if same:
            unnamed.remove(min(same, key=lambda deed: abs(deed.time - note.time)))
        deeds.append(note)
    return sorted([*deeds, *unnamed], key=lambda deed: deed.time, reverse=True)


def _says(deed: Deed) -> tuple[str, str]:
    return deed.done, deed.more


def _noted(run: Run) -> list[Deed]:
    """What the admin's log says, which lies where the users are."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Run), object_id=run.pk
    )
    deeds = []
    for entry in entries.select_related("user").order_by("-pk")[:MOST]:
        done, _colon, more = entry.get_change_message().partition(": ")
        deeds.append(Deed(entry.action_time, done, more, entry.user.get_username()))
    return deeds


def _logged(run: Run) -> list[Deed]:
    """What the run's own log says that somebody asked for."""
    events = Event.objects.using(alias()).filter(run_id=run.pk, type__in=list(_VERBS))
    last = sorted(
        events.defer("payload").order_by("-pk")[:MOST], key=lambda event: event.pk
    )
    deeds = []
    was_asked = False
    for event in last:
        # Who was asked to stop ends by itself; a retry takes that back.
        if event.type == log.RUN_CANCELLED and was_asked:
            continue
        if event.type in (log.CANCEL_REQUESTED, log.RUN_RETRIED):
            was_asked = event.type == log.CANCEL_REQUESTED
        done = _untranslated(DONE[_VERBS[event.type]])
        deed = Deed(event.created_at, done, event.details.get("reason", ""))
        if run.parent_id and deed.more == f"its parent {run.parent_id} has closed":
            deed = replace(deed, who=_("its parent"))
        deeds.append(deed)
    return deeds


def _ended_by(run: Run, deeds: Sequence[Deed]) -> str:
    """Who cancelled or terminated it, and why."""
    verb = _ENDED_BY.get(Run.Status(run.status))
    if verb is None:
        return ""
    done = _untranslated(DONE[verb])
    last = next((deed for deed in deeds if deed.done == done), None)
    if last is None:
        return ""
    said = {"done": str(DONE[verb]), "user": last.who, "reason": last.more}
    if not last.who:
        text = _("%(done)s over the API, from the command line or by code")
    else:
        text = _("%(done)s by %(user)s")
    if last.more:
        return f"{text % said}: {last.more}"
    return _("%(text)s, no reason given.") % {"text": text % said}


def _untranslated(text: str | Promise) -> str:
    with override(None):
        return str(text)
