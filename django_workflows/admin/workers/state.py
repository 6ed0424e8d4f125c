"""How a worker stands, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from django_workflows.admin.durations import in_words
from django_workflows.conf import conf
from django_workflows.models import Worker
from django_workflows.store.health import fresh_workers

#: Characters of a digest that tell codes apart.
_DIGEST = 8


@dataclass(frozen=True)
class WorkerState:
    """A worker as people are told of it."""

    worker: Worker
    #: "alive", "silent" or "stopped", and the same as a sentence.
    state: str
    said: str
    heartbeat: str
    code: str
    #: It is alive, and the newest worker runs other code.
    is_odd: bool

    @property
    def badge(self) -> str:
        """Which status has the colour that fits."""
        return {"alive": "completed", "silent": "failed"}.get(self.state, "cancelled")


def newest_code() -> str:
    """The digest of the code that the newest worker runs; empty if none is alive."""
    codes = fresh_workers().order_by("-started_at").values_list("code", flat=True)
    return codes.first() or ""


def state_of(worker: Worker, now: datetime, newest: str) -> WorkerState:
    """How a worker stands; `newest` as of `newest_code`."""
    silence = now - worker.heartbeat_at
    heartbeat = _("%(time)s ago") % {"time": in_words(silence)}
    lease = timedelta(seconds=conf.LEASE)
    if worker.stopped_at is not None:
        state = "stopped"
        said = _("stopped %(time)s ago") % {"time": in_words(now - worker.stopped_at)}
    elif silence < lease:
        state, said = "alive", _("alive")
    else:
        state, said = "silent", _("silent for %(time)s") % {"time": in_words(silence)}
    is_odd = state == "alive" and worker.code != newest
    return WorkerState(worker, state, said, heartbeat, worker.code[:_DIGEST], is_odd)


def end_of(worker: Worker) -> str:
    """How a worker ended, as a sentence; empty for one that has not."""
    if worker.stopped_at is None:
        return ""
    silence = worker.stopped_at - worker.heartbeat_at
    if silence >= timedelta(seconds=conf.LEASE):
        return _(
            "It had given no sign of life for %(time)s, and was declared dead: what it "
            "was working on goes on elsewhere."
        ) % {"time": in_words(silence)}
    return _("It signed off, or its process was found to be gone.")
