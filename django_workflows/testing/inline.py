"""Runs attempts on the calling thread, when told to."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from asgiref.sync import async_to_sync

from django_workflows.worker.attempt import Attempt, Ended, run_async, run_sync


class InlineExecutor:
    """An executor without threads: `run_queued` runs what has been submitted.

    The code of steps sees the test's connection and its transaction.
    """

    def __init__(self) -> None:
        self.mocks: dict[str, Callable[..., Any]] = {}
        self._queued: list[Attempt] = []

    def room(self, kind: str) -> int:
        return 1_000

    def submit(self, attempts: Sequence[Attempt]) -> None:
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
        return run_sync(self._mocked(attempt))

    def _mocked(self, attempt: Attempt) -> Attempt:
        mock = self.mocks.get(attempt.step.name)
        if mock is None:
            return attempt
        step = copy.copy(attempt.step)
        step.func = _as_async(mock) if step.is_async else mock
        return replace(attempt, step=step)


async def _run_all(attempts: list[Attempt]) -> list[Ended]:
    return await asyncio.gather(
        *[asyncio.create_task(run_async(attempt)) for attempt in attempts]
    )


def _as_async(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        return await found if inspect.isawaitable(found) else found

    return call
