"""What was done, in the words in which it is told. Notes in the admin's log are kept
untranslated, for whoever reads them."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, override

Word = str | Promise

#: What has happened to a run, by what was asked for.
DONE: dict[str, Word] = {
    "cancel": gettext_lazy("Cancelled"),
    "terminate": gettext_lazy("Terminated"),
    "pause": gettext_lazy("Paused"),
    "resume": gettext_lazy("Resumed"),
    "retry": gettext_lazy("Retried"),
    "replay": gettext_lazy("Replayed"),
    "wake": gettext_lazy("Woken"),
}
REPLAY_OF = gettext_lazy("Started as a replay of")
STARTED = gettext_lazy("Started")
STARTED_AGAIN = gettext_lazy("Started with the changed input of")
STARTED_BY_SCHEDULE = gettext_lazy("Started by the schedule")
SENT = gettext_lazy("Sent a payload to hook")
FORKED = gettext_lazy("Forked")
FORK_OF = gettext_lazy("Started as a fork of")


def untranslated(word: Word) -> str:
    """A word as it is kept."""
    with override(None):
        return str(word)
