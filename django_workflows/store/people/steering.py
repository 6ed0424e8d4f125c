"""What people do to runs: done under their names, and noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_workflows.models import Hook, Run
from django_workflows.store import control
from django_workflows.store.hooks import resume_this_hook
from django_workflows.store.people.actors import Actor
from django_workflows.store.people.words import (
    DONE,
    FORK_OF,
    FORKED,
    REPLAY_OF,
    SENT,
)

#: These take a reason, which the run's own log keeps, too.
WITH_REASON = ("cancel", "terminate")
#: What changes a run in place. False is returned where there was nothing to do.
_VERBS: dict[str, Callable[..., bool | None]] = {
    "cancel": control.cancel,
    "terminate": control.terminate,
    "pause": control.pause,
    "resume": control.resume,
    "retry": control.retry,
    "wake": control.wake,
}


def steer(actor: Actor, run: Run, verb: str, reason: str = "") -> Run:
    """Do to a run what its method of this name does.

    Returns the run that the user is interested in now: the new one after a replay.
    Raises what the method raises; nothing has happened then.
    """
    actor = actor.of_runs
    if verb == "replay":
        return actor.noted(lambda: _replay(actor, run))
    actor.noted(lambda: _change(actor, run, verb, reason))
    return run


def fork(actor: Actor, run: Run, from_step: str | int) -> Run:
    """Start a fork of a run. Raises what `Run.fork` raises; nothing has happened
    then."""
    actor = actor.of_runs
    return actor.noted(lambda: _fork(actor, run, from_step))


def send(actor: Actor, hook: Hook, payload: Any) -> Run:
    """Send a validated payload to a hook; returns the run that has it now."""
    actor = actor.of_runs
    return actor.noted(lambda: _send(actor, hook, payload))


def _change(actor: Actor, run: Run, verb: str, reason: str) -> None:
    given = [reason] if verb in WITH_REASON else []
    if _VERBS[verb](run, *given) is not False:
        actor.note(run, DONE[verb], *given)


def _replay(actor: Actor, run: Run) -> Run:
    new = control.replay(run)
    actor.note(run, DONE["replay"], new.pk)
    actor.note(new, REPLAY_OF, run.pk)
    return new


def _fork(actor: Actor, run: Run, from_step: str | int) -> Run:
    new = control.fork(run, from_step)
    actor.note(run, FORKED, new.pk)
    actor.note(new, FORK_OF, run.pk)
    return new


def _send(actor: Actor, hook: Hook, payload: Any) -> Run:
    run = resume_this_hook(hook, payload)
    actor.note(run, SENT, hook.pk)
    return run
