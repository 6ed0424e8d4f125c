"""Makes three functions of asyncio deterministic on a workflow's loop.

``as_completed`` walks a set of the given coroutines, which hash by address, and
``all_tasks`` one of all tasks of the process, so their order differs from process to
process. ``wait_for`` makes a task in Python 3.11 and none in 3.12, so what else
happens in the same burst differs. The functions' code is replaced, not the functions,
so that ``from asyncio import as_completed`` taken earlier is covered as well. On every
other loop nothing changes.
"""

from __future__ import annotations

import asyncio
import types
from asyncio.events import _get_running_loop
from collections.abc import Iterable
from typing import Any


def _original(function: Any) -> Any:
    """A copy of the function that keeps its code."""
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = dict(function.__kwdefaults__ or {})
    return copy


_as_completed = _original(asyncio.as_completed)
_all_tasks = _original(asyncio.all_tasks)
_wait_for = _original(asyncio.wait_for)


def in_given_order(fs: Iterable[Any], timeout: float | None) -> Any:
    """``as_completed``, which starts coroutines in the order in which they come."""
    from django_workflows.replay.loop import WorkflowLoop

    loop = _get_running_loop()
    if isinstance(loop, WorkflowLoop) and not (
        asyncio.isfuture(fs) or asyncio.iscoroutine(fs)
    ):
        fs = [asyncio.ensure_future(f, loop=loop) for f in dict.fromkeys(fs)]
    return _as_completed(fs, timeout=timeout)


def in_order_of_creation(loop: Any) -> Any:
    """``all_tasks``, built in the order in which the run created its tasks."""
    from django_workflows.replay.loop import WorkflowLoop

    if loop is None:
        loop = _get_running_loop()
    if isinstance(loop, WorkflowLoop):
        return {task for task in loop.tasks if not task.done()}
    return _all_tasks(loop)


async def in_time(fut: Any, timeout: float | None) -> Any:
    """``wait_for`` as it is since Python 3.12."""
    from django_workflows.replay.loop import WorkflowLoop

    on_ours = isinstance(_get_running_loop(), WorkflowLoop)
    if on_ours and timeout is not None and timeout > 0:
        async with asyncio.timeout(timeout):
            return await fut
    return await _wait_for(fut, timeout)


# These run with the globals of asyncio.tasks, hence the imports in their bodies.


def _new_as_completed(fs, *, timeout=None):  # type: ignore[no-untyped-def]
    from django_workflows.replay.ordering import in_given_order

    return in_given_order(fs, timeout)


def _new_all_tasks(loop=None):  # type: ignore[no-untyped-def]
    from django_workflows.replay.ordering import in_order_of_creation

    return in_order_of_creation(loop)


async def _new_wait_for(fut, timeout):  # type: ignore[no-untyped-def]
    from django_workflows.replay.ordering import in_time

    return await in_time(fut, timeout)


def install() -> None:
    """Swap the code in, once per process."""
    asyncio.as_completed.__code__ = _new_as_completed.__code__
    asyncio.all_tasks.__code__ = _new_all_tasks.__code__
    asyncio.wait_for.__code__ = _new_wait_for.__code__
