"""Sends Django signals about runs, once what they tell of is committed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.dispatch import Signal
from django.utils.functional import SimpleLazyObject

from django_workflows import signals
from django_workflows.models import Run
from django_workflows.replay import events as log
from django_workflows.store.database import after_commit, alias
from django_workflows.store.round_types import RunWrite

logger = logging.getLogger("django_workflows.store")

#: What may wait for slow receivers in one process; more is dropped, and logged.
LONGEST_QUEUE = 100_000
_ALL = [getattr(signals, name) for name in signals.__all__]
_OF_RUNS: Mapping[str, Signal] = {
    log.RUN_STARTED: signals.run_started,
    log.RUN_PAUSED: signals.run_paused,
    log.RUN_RESUMED: signals.run_resumed,
    log.RUN_RETRIED: signals.run_retried,
    **dict.fromkeys(log.TERMINAL, signals.run_finished),
}
_STATUS = {log.RUN_CONTINUED: "continued_as_new"} | {
    kind: kind.removeprefix("run_") for kind in log.TERMINAL - {log.RUN_CONTINUED}
}


@dataclass(slots=True)
class News:
    """One signal to be sent. An unknown `workflow` is looked up when it is."""

    signal: Signal
    run_id: str
    workflow: str = ""
    status: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def is_heard() -> bool:
    """Whether anybody listens to anything."""
    return any(signal.receivers for signal in _ALL)


def news_of_round(workflow: str, write: RunWrite) -> list[News]:
    """What a stored round has done to one run."""
    news = [
        News(signals.step_finished, write.run_id, workflow, more.pop("status"), more)
        for more in write.ended_steps
    ]
    for event in write.events:
        signal = _OF_RUNS.get(event.type)
        if signal is not None and signal.receivers:
            status = _STATUS.get(event.type, write.status)
            if event.type == log.RUN_STARTED:
                status = "running"
            news.append(News(signal, write.run_id, workflow, status))
        elif event.type == log.CHILD_CREATED and "held_by" not in event.detail:
            child_id, name = event.detail["run_id"], event.detail["name"]
            news.append(News(signals.run_created, child_id, name, "pending"))
    return news


def announce_event(
    database: BaseDatabaseWrapper, run_id: str, kind: str, detail: Mapping[str, Any]
) -> None:
    """An event has been numbered by somebody else than the run's owner."""
    signal = _OF_RUNS.get(kind)
    if signal is None or not signal.receivers:
        return
    more = {"attempt": detail["attempt"]} if kind == log.RUN_RETRIED else {}
    status = _STATUS.get(kind, "")
    announce(database, [News(signal, run_id, status=status, more=more)])


def announce(database: BaseDatabaseWrapper, news: Iterable[News]) -> None:
    """Send signals once the current transaction of this connection is committed."""
    after_commit(database, _AfterCommit(list(news)))


class _AfterCommit:
    """Named, so that `send_held_back` finds what a test's transaction keeps."""

    def __init__(self, news: list[News]) -> None:
        self._news = news

    def __call__(self) -> None:
        send(self._news)


def send_held_back(database: BaseDatabaseWrapper) -> None:
    """Send what waits for the commit of a transaction that a test rolls back.

    What code under test does in a transaction of its own waits for the end of that.
    """
    blocks = database.atomic_blocks
    if not blocks or not all(getattr(b, "_from_testcase", False) for b in blocks):
        return
    waiting: list[Any] = database.run_on_commit
    held = [entry for entry in waiting if isinstance(entry[1], _AfterCommit)]
    waiting[:] = [entry for entry in waiting if entry not in held]
    for _, action, *_ in held:
        action()


def send(news: Sequence[News]) -> None:
    """Send signals now: in the background where that is wanted, else right here."""
    if getattr(_here, "in_background", False):
        _background().put(news)
    else:
        _send(news)


def _send(news: Sequence[News]) -> None:
    for each in news:
        if not each.signal.receivers:
            continue
        if not (each.workflow and each.status):
            row = Run.objects.using(alias()).filter(pk=each.run_id)
            found = row.values_list("workflow", "status").first() or ("", "")
            each.workflow = each.workflow or found[0]
            each.status = each.status or found[1]
        # Django logs what a receiver raises.
        each.signal.send_robust(
            sender=Run,
            run_id=each.run_id,
            workflow=each.workflow,
            status=each.status,
            run=SimpleLazyObject(partial(_fetch, each.run_id)),
            **each.more,
        )


def _fetch(run_id: str) -> Run:
    return Run.objects.using(alias()).get(pk=run_id)


# -- in the background ----------------------------------------------------------------

_here = threading.local()


@contextmanager
def in_background() -> Iterator[None]:
    """Let a thread of its own send what this thread announces meanwhile."""
    before = getattr(_here, "in_background", False)
    _here.in_background = True
    try:
        yield
    finally:
        _here.in_background = before


def wait_until_sent(timeout: float) -> bool:
    """Wait for the background to have sent all; False if it took longer (seconds)."""
    if _sender is None or _sender.pid != os.getpid():
        return True
    return _sender.wait(timeout)


class _Sender:
    """One thread per process that sends signals, in the order in which they come."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._queue: SimpleQueue[Sequence[News]] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._dropped = 0
        self._is_idle = threading.Condition(self._lock)
        threading.Thread(target=self._work, name="signals", daemon=True).start()

    def put(self, news: Sequence[News]) -> None:
        with self._lock:
            if self._waiting > LONGEST_QUEUE:
                self._dropped += len(news)
                return
            self._waiting += len(news)
        self._queue.put(news)

    def wait(self, timeout: float) -> bool:
        with self._is_idle:
            return self._is_idle.wait_for(lambda: not self._waiting, timeout)

    def _work(self) -> None:
        while True:
            news = self._queue.get()
            try:
                _send(news)
            except Exception:
                # Not a receiver's error: the database is away, for example.
                logger.exception(
                    "signals could not be sent", extra={"action": "signals_lost"}
                )
            if self._queue.empty():
                connections.close_all()
            self._done(len(news))

    def _done(self, number: int) -> None:
        with self._is_idle:
            self._waiting -= number
            if self._waiting:
                return
            if self._dropped:
                logger.error(
                    "%d signals were not sent: their receivers are too slow",
                    self._dropped,
                    extra={"action": "signals_lost"},
                )
                self._dropped = 0
            self._is_idle.notify_all()


_sender: _Sender | None = None


def _background() -> _Sender:
    global _sender
    if _sender is None or _sender.pid != os.getpid():
        _sender = _Sender()
    return _sender
