"""Runs attempts on the calling thread, when told to."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connections

from django_workflows.errors import StepTimeoutError
from django_workflows.models import Run
from django_workflows.store.database import alias
from django_workflows.worker.attempt import Attempt, Ended
from django_workflows.worker.deadlines import next_deadline
from django_workflows.worker.running import run_async, run_sync

#: Seconds for the clean-up code of an asynchronous step that was cancelled.
CLEAN_UP = 1.0


class InlineExecutor:
    """An executor without threads: `run_queued` runs what has been submitted.

    The code of steps sees the test's connection and its transaction. The time-outs of
    an attempt are measured in real time: asynchronous code is cancelled at them, other
    code is found to have taken too long when it has ended.
    """

    def __init__(self) -> None:
        self.mocks: dict[str, Callable[..., Any]] = {}
        self._queued: list[Attempt] = []

    def room(self, kind: str) -> int:
        return 1_000

    def submit(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            attempt.writes_directly = True
        self._queued += attempts

    def cancel(self, step_id: str) -> None:
        self._queued = [a for a in self._queued if a.step_id != step_id]

    def running(self, step_id: str, number: int) -> Attempt | None:
        for attempt in self._queued:
            if (attempt.step_id, attempt.number) == (step_id, number):
                return attempt
        return None

    def forget(self) -> None:
        self._queued.clear()

    def run_queued(self) -> list[Ended]:
        """Run all submitted attempts, asynchronous ones side by side."""
        queued, self._queued = self._queued, []
        ends = [self._run(a) for a in queued if not a.step.is_async]
        on_loop = [self._mocked(a) for a in queued if a.step.is_async]
        if on_loop:
            ends += async_to_sync(_run_all)(on_loop)
        for ended in ends:
            if isinstance(ended.error, KeyboardInterrupt):
                raise ended.error
            ended.attempt = next(
                a for a in queued if a.step_id == ended.attempt.step_id
            )
        return ends

    def _run(self, attempt: Attempt) -> Ended:
        pulse = attempt.pulse
        runs = Run.objects.using(alias()).open().filter(pk=attempt.run_id)

        def look() -> None:
            due = (
                next_deadline(attempt)[0]
                if attempt.settings.has_attempt_timeout
                else float("inf")
            )
            if due <= time.monotonic():
                pulse.stopped = "the attempt has timed out"
            elif not runs.exists():
                pulse.stopped = "the run of this step has been ended"

        pulse.begin()
        pulse.look = look
        ended = run_sync(self._mocked(attempt), _context())
        pulse.hear(None)
        return _judged(ended, pulse.beat_at - pulse.began_at, pulse.silence)

    def _mocked(self, attempt: Attempt) -> Attempt:
        mock = self.mocks.get(attempt.step.name)
        if mock is None:
            return attempt
        step = copy.copy(attempt.step)
        step.func = _as_async(mock) if step.is_async else mock
        return replace(attempt, step=step)


def _context() -> contextvars.Context:
    """A context with nothing in it but the test's connections, which Django keeps there
    while an event loop runs on the thread, as Playwright's does."""
    context = contextvars.Context()
    for name in connections:
        context.run(connections.__setitem__, name, connections[name])
    return context


def _judged(ended: Ended, took: float, silent: float) -> Ended:
    """The attempt's end, or its time-out if it took too long or was silent too long."""
    settings = ended.attempt.settings
    if settings.timeout is not None and took > settings.timeout:
        return _timed_out(ended.attempt, "start_to_close")
    if settings.heartbeat_timeout is not None and silent > settings.heartbeat_timeout:
        return _timed_out(ended.attempt, "heartbeat")
    return ended


def _timed_out(attempt: Attempt, kind: str) -> Ended:
    message = f"attempt {attempt.number} of step {attempt.title} took too long"
    return Ended(attempt, error=StepTimeoutError(message, kind=kind), timed_out=kind)


async def _run_all(attempts: list[Attempt]) -> list[Ended]:
    return await asyncio.gather(*[_run_one(attempt) for attempt in attempts])


async def _run_one(attempt: Attempt) -> Ended:
    task = asyncio.create_task(run_async(attempt))
    attempt.pulse.begin()
    while attempt.settings.has_attempt_timeout and not task.done():
        due, kind = next_deadline(attempt)
        left = due - time.monotonic()
        if left <= 0:
            attempt.pulse.stopped = "the attempt has timed out"
            task.cancel()
            await asyncio.wait({task}, timeout=CLEAN_UP)
            return _timed_out(attempt, kind)
        await asyncio.wait({task}, timeout=left)
    return await task


def _as_async(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        return await found if inspect.isawaitable(found) else found

    return call
