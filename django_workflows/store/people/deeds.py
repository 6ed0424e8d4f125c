"""Who did what to a run and when, as the run's own log tells it: in the admin, over the
API, on the command line or by code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.core.authorship import ADMIN, API, COMMAND_LINE
from django_workflows.models import Event, Run
from django_workflows.replay import events as log
from django_workflows.store.database import alias
from django_workflows.store.people.words import (
    DONE,
    FORK_OF,
    REPLAY_OF,
    SENT,
    STARTED,
    STARTED_AGAIN,
    Word,
)

#: Entries read of each kind, the last ones.
MOST = 50

#: What was asked for, by the entry of the log that tells it.
_VERBS = {
    log.CANCEL_REQUESTED: "cancel",
    log.RUN_CANCELLED: "cancel",
    log.RUN_TERMINATED: "terminate",
    log.RUN_PAUSED: "pause",
    log.RUN_RESUMED: "resume",
    log.RUN_RETRIED: "retry",
    log.WAKE_REQUESTED: "wake",
}
#: What the first entry of a log names another run as.
_ORIGINS = {
    "replayed_from": REPLAY_OF,
    "forked_from": FORK_OF,
    "changed_from": STARTED_AGAIN,
}
_ENDED_BY: dict[str, str] = {
    Run.Status.CANCELLED: "cancel",
    Run.Status.TERMINATED: "terminate",
}

#: What is added to a name, by how its bearer has come.
_BY: dict[str, Word] = {
    API: gettext_lazy("%(user)s over the API"),
    COMMAND_LINE: gettext_lazy("%(user)s on the command line"),
}
#: That of the run that started this one.
_PARENT = "parent"


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done to the run."""

    time: datetime
    done: Word
    more: str = ""
    #: The name of a user; empty if nobody knows.
    who: str = ""
    way: str = ADMIN

    @property
    def text(self) -> str:
        """What was done, in the language of who reads it."""
        return f"{self.done}: {self.more}" if self.more else str(self.done)

    @property
    def by(self) -> str:
        """Who did it, and by what way; empty if nobody knows."""
        if not self.who or self.way not in _BY:
            return self.who
        return str(_BY[self.way]) % {"user": self.who}


def deeds_of(run: Run) -> list[Deed]:
    """What was done to a run, the last deed first."""
    deeds = [*_steered(run), *_sent(run)]
    return sorted(deeds, key=lambda deed: deed.time, reverse=True)


def who_ended(run: Run) -> str:
    """The name of who cancelled or terminated it, and by what way; empty if nobody
    knows, and for other runs."""
    is_known = run.status in _ENDED_BY
    end = _end_of(run, _steered(run)) if is_known else None
    return "" if end is None else end.by


def ended_by(run: Run, deeds: Sequence[Deed]) -> str:
    """Who cancelled or terminated it, and why, in a sentence; empty for other runs."""
    last = _end_of(run, deeds)
    if last is None:
        return ""
    said = {"done": last.done, "user": last.by}
    if not last.who:
        text = _("%(done)s over the API, from the command line or by code")
    else:
        text = _("%(done)s by %(user)s")
    if last.more:
        return f"{text % said}: {last.more}"
    return _("%(text)s, no reason given.") % {"text": text % said}


def _end_of(run: Run, deeds: Sequence[Deed]) -> Deed | None:
    """The deed by which it was cancelled or terminated."""
    verb = _ENDED_BY.get(run.status)
    done = "" if verb is None else DONE[verb]
    return next((deed for deed in deeds if deed.done == done), None)


def _steered(run: Run) -> list[Deed]:
    """What somebody has asked for, and who has started it."""
    deeds = []
    was_asked = False
    for event in reversed(_last(run, Q(type__in=[*_VERBS, log.RUN_CREATED]))):
        # Who was asked to stop ends by itself; a retry takes that back.
        if event.type == log.RUN_CANCELLED and was_asked:
            continue
        if event.type in (log.CANCEL_REQUESTED, log.RUN_RETRIED):
            was_asked = event.type == log.CANCEL_REQUESTED
        said = event.details
        if event.type == log.RUN_CREATED:
            if "by" in said:
                # That of a fork has the time of its original's.
                deed = _deed(event, *_start_of(said))
                deeds.append(replace(deed, time=run.created_at))
            continue
        deed = _deed(event, DONE[_VERBS[event.type]], said.get("reason", ""))
        if run.parent_id and deed.more == f"its parent {run.parent_id} has closed":
            deed = replace(deed, who=_("its parent"), way=_PARENT)
        deeds.append(deed)
    return deeds[::-1]


def _sent(run: Run) -> list[Deed]:
    """The payloads for its hooks that somebody has sent who is known: code and other
    systems may send any number of them."""
    known = Q(type=log.HOOK_RECEIVED, detail__contains='"by": ')
    return [_deed(event, SENT, event.correlation_id) for event in _last(run, known)]


def _last(run: Run, wanted: Q) -> list[Event]:
    """The last entries of its log, the last one first. What a retry has delivered again
    is there already."""
    events = Event.objects.using(alias()).filter(wanted, run_id=run.pk)
    found = events.defer("payload").order_by("-pk")[:MOST]
    return [event for event in found if not event.details.get("again")]


def _start_of(said: dict[str, Any]) -> tuple[Word, str]:
    """What the first entry of a log says of the start."""
    for name, word in _ORIGINS.items():
        if origin := said.get(name):
            return word, origin
    return STARTED, ""


def _deed(event: Event, done: Word, more: str) -> Deed:
    said = event.details
    who, way = said.get("by", ""), said.get("way", COMMAND_LINE)
    return Deed(event.created_at, done, more, who, way)
