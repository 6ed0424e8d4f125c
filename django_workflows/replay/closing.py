"""Ends the coroutines of a suspended run without letting them do anything.

A suspended coroutine that is merely dropped runs its `finally` blocks whenever the
garbage collector comes by, possibly inside another run or on a step's thread. So they
are closed here, on the thread that drops the run, while every workflow call is refused.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import (
    AsyncGenerator,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import contextmanager
from functools import partial
from types import CoroutineType, GeneratorType
from typing import Any

from django_workflows.replay.interrupts import is_from_outside

logger = logging.getLogger("django_workflows.replay")

#: Coroutines that ignore GeneratorExit; kept for ever so that none is collected.
graveyard: list[Any] = []
ATTEMPTS = 10


class RunClosing(BaseException):
    """Raised by every workflow call while a dropped run is being closed."""


def close_all(
    main: asyncio.Task[Any] | None,
    tasks: Iterable[asyncio.Task[Any]],
    generators: Sequence[AsyncGenerator[Any, Any]],
) -> list[Any]:
    """Close the coroutines of tasks and async generators, and all these wait for.

    Each is closed by itself, the innermost first: closing the outermost alone lets
    go of an inner one whose clean-up awaits something, and of whatever an async
    generator waits for; the collector would then go on with it. Generators, of which
    nobody knows whose they are, count as `main`'s. Returns what does not want to end.
    """
    stubborn: list[Any] = []
    for task in tasks:
        with _current(task):
            suspended = reversed(list(_chain(task.get_coro())))
            stubborn += [target for target in suspended if not _ends(target.close)]
    with _current(main):
        for generator in reversed(generators):
            suspended = reversed(list(_chain(generator.ag_await)))
            stubborn += [target for target in suspended if not _ends(target.close)]
        stubborn += [g for g in generators if not _ends(partial(_close_now, g))]
    return stubborn


@contextmanager
def _current(task: asyncio.Task[Any] | None) -> Iterator[None]:
    """Let clean-up code find the task that it belongs to.

    Without one `asyncio.wait_for(clean_up(), 5)` fails before it has begun with the
    coroutine it was given, and Python warns that this was never awaited.
    """
    if task is None:
        yield
        return
    loop = task.get_loop()
    _enter_task(loop, task)
    try:
        yield
    finally:
        _leave_task(loop, task)


def _chain(target: Any) -> Iterator[Any]:
    """A suspended coroutine, what it awaits, what that awaits and so on."""
    while isinstance(target, CoroutineType | GeneratorType):
        yield target
        if isinstance(target, CoroutineType):
            target = target.cr_await
        else:
            target = target.gi_yieldfrom


def bury(target: Any) -> None:
    """Keep for ever what the collector must not get hold of, and say so."""
    graveyard.append(target)
    logger.warning(
        "%r ignores GeneratorExit and is kept in memory for good: let it pass on "
        "BaseException",
        target,
        extra={"action": "coroutine_buried"},
    )


def _close_now(generator: AsyncGenerator[Any, Any]) -> None:
    closing = generator.aclose()
    try:
        closing.send(None)
    except StopIteration:
        return
    closing.close()
    raise RuntimeError("async generator ignored GeneratorExit")


def _ends(close: Callable[[], None]) -> bool:
    for _ in range(ATTEMPTS):
        try:
            close()
        except BaseException as error:
            if is_from_outside(error):
                raise
            # Its own clean-up failed, most often because a workflow call was refused.
            # Nothing of it counts: the run goes on from its log.
            if isinstance(error, RuntimeError) and "ignored Gen" in str(error):
                continue
        return True
    return False
