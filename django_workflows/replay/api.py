"""What workflow code calls, besides its steps and asyncio itself."""

from __future__ import annotations

import asyncio
import copy
import random as random_module
import uuid
from asyncio.events import _get_running_loop
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, ParamSpec, TypeVar, overload

from django_workflows.core import context
from django_workflows.core.attributes import plain_attributes
from django_workflows.core.durations import Duration, to_seconds
from django_workflows.replay import children, hooks
from django_workflows.replay.children import ChildHandle
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.execution import Execution
from django_workflows.replay.hooks import Hook
from django_workflows.replay.loop import WorkflowLoop
from django_workflows.replay.starts import find_workflow
from django_workflows.replay.timers import SleepCall

T = TypeVar("T")
P = ParamSpec("P")


def current_execution(name: str) -> Execution:
    """The run whose code is calling. Raises RuntimeError outside of workflow code."""
    loop = _get_running_loop()
    if type(loop) is not WorkflowLoop:
        raise RuntimeError(f"{name} can only be called inside a workflow function")
    return loop.execution


def sleep(delay: Duration | datetime) -> SleepCall:
    """Wait for a duration, or until a point in time (aware), through any restart.

    Issued at the call; await what it returns. Raises ValueError for a negative or
    unreadable duration and for a naive datetime.
    """
    execution = current_execution("sleep()")
    if isinstance(delay, datetime):
        if delay.tzinfo is None:
            raise ValueError(f"sleep() needs an aware datetime, not {delay!r}")
        return execution.timers.sleep(delay)
    seconds = to_seconds(delay)
    if seconds < 0:
        raise ValueError(f"cannot sleep for {delay!r}: a duration is not negative")
    return execution.timers.sleep(seconds)


def now() -> datetime:
    """The time of the event being handled, aware, in UTC; the same in every replay."""
    execution = current_execution("now()")
    execution.require_open()
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=execution.loop.now_us
    )


def random() -> random_module.Random:
    """The run's own random generator, seeded by a secret of the run."""
    return current_execution("random()").chance.random()


def uuid4() -> uuid.UUID:
    """A random UUID that is the same in every replay."""
    return current_execution("uuid4()").chance.uuid4()


def patched(change_id: str) -> bool:
    """Whether this run goes by a change of its workflow's code.

    True in runs that reach this point first with code that asks, which is recorded,
    and in their replays; False in runs that passed it before. The first answer of a
    run holds wherever it asks again. Raises ValueError for an unusable id.
    """
    return current_execution("patched()").patches.is_patched(change_id)


def deprecate_patch(change_id: str) -> None:
    """Take the place of ``patched()`` once no open run needs the old branch.

    Lets runs go on that have recorded the change, at this point or later; records
    nothing itself. Once there are none of these either, take it out. Raises ValueError
    for an unusable id.
    """
    current_execution("deprecate_patch()").patches.deprecate(change_id)


async def race(*aws: Awaitable[T]) -> T:
    """The outcome of the first to finish, result or exception; the rest is cancelled.

    Losers are cancelled in the order given. Raises ValueError without arguments.
    """
    tasks = _tasks("race()", aws)
    try:
        winner = await _first(tasks, lambda task: True)
    finally:
        _cancel_rest(tasks)
    assert winner is not None
    return winner.result()


async def first_success(*aws: Awaitable[T]) -> T:
    """The result of the first to succeed; the rest is cancelled.

    Raises ExceptionGroup with every error, in the order given, if none succeeds, and
    ValueError without arguments.
    """
    tasks = _tasks("first_success()", aws)
    try:
        winner = await _first(
            tasks, lambda task: not task.cancelled() and task.exception() is None
        )
    finally:
        _cancel_rest(tasks)
    if winner is not None:
        return winner.result()
    errors = [_error_of(task) for task in tasks]
    raise ExceptionGroup("none of the awaitables succeeded", errors)


def _tasks(name: str, aws: tuple[Awaitable[T], ...]) -> list[asyncio.Future[T]]:
    current_execution(name)
    if not aws:
        raise ValueError(f"{name} needs at least one awaitable")
    return [asyncio.ensure_future(aw) for aw in aws]


async def _first(tasks: list[asyncio.Future[T]], wins: Any) -> asyncio.Future[T] | None:
    """The first task to end for which `wins` is true; None once all have ended."""
    found: asyncio.Future[asyncio.Future[T] | None] = (
        asyncio.get_running_loop().create_future()
    )
    left = len(tasks)

    def ended(task: asyncio.Future[T]) -> None:
        nonlocal left
        left -= 1
        if found.done():
            _see(task)
            return
        if wins(task):
            found.set_result(task)
        elif left == 0:
            found.set_result(None)

    for task in tasks:
        task.add_done_callback(ended)
    return await found


def _cancel_rest(tasks: list[asyncio.Future[T]]) -> None:
    for task in tasks:
        if task.done():
            _see(task)
        else:
            task.cancel()


def _see(loser: asyncio.Future[Any]) -> None:
    """A loser's error, or the cancellation that a gather() ends with, is no forgotten
    one: asyncio is not to log it."""
    if not loser.cancelled():
        loser.exception()


def _error_of(task: asyncio.Future[Any]) -> Exception:
    if task.cancelled():
        return RuntimeError("cancelled")
    error = task.exception()
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def set_attributes(**values: Any) -> None:
    """Merge attributes, by which people search for runs, into those of this run.

    Plain JSON values; None takes an attribute away. They are in ``Run.attributes`` as
    soon as what the workflow did so far is stored. Raises ValueError for what is no
    plain JSON, and for more than 64 attributes or 16 KiB of them.
    """
    execution = current_execution("set_attributes()")
    changes = plain_attributes(values)
    if changes:
        execution.set_attributes(changes)


def create_hook(token: str | None = None, metadata: Any = None) -> Hook:
    """Open a door for payloads from outside, sent by ``resume_hook(token, payload)``.

    Without a token one is made that nobody can guess. `metadata` is any serializable
    value, shown to whoever looks the hook up. Raises ValueError for an empty token and
    SerializationError for the metadata.
    """
    return hooks.create_hook(current_execution("create_hook()"), token, metadata)


@overload
def start_child(
    workflow: Workflow[P, Any], /, *args: P.args, **kwargs: P.kwargs
) -> ChildHandle: ...
@overload
def start_child(workflow: str, /, *args: Any, **kwargs: Any) -> ChildHandle: ...
def start_child(workflow: Any, /, *args: Any, **kwargs: Any) -> ChildHandle:
    """Start a run of another workflow, or of the same, that belongs to this one.

    Issued at the call; await what it returns for the child's result. What becomes of
    the child when this run closes is said by
    ``workflow.options(parent_close_policy=...)``. Raises WorkflowNotRegisteredError,
    TypeError for arguments that don't fit, SerializationError for what cannot be
    stored, and ValueError for a wrong option; nothing is started then.
    """
    execution = current_execution("start_child()")
    called = find_workflow(workflow, "start_child()")
    return children.start_child(execution, called, args, kwargs)


def continue_as_new(*args: Any, **kwargs: Any) -> NoReturn:
    """End this run and go on in a new one, with these arguments and an empty log.

    Never returns, in the workflow function or any task of it. Hooks whose tokens the
    new run claims again keep them without a gap, unread payloads included. Raises
    TypeError for arguments that don't fit the workflow's signature, and
    SerializationError for those that cannot be stored: then the run goes on.
    """
    current_execution("continue_as_new()").continue_as_new(args, kwargs)


@dataclass(frozen=True)
class WorkflowMetadata:
    """What a run knows about itself, as of its log."""

    run_id: str
    workflow_name: str
    version: str
    started_at: datetime
    url: str
    attempt: int
    key: str | None
    queue: str
    attributes: dict[str, Any]
    is_replaying: bool

    def __workflow_encode__(self) -> dict[str, Any]:
        # The arguments of a step are compared with those in the log.
        return {**vars(self), "is_replaying": False}

    @classmethod
    def __workflow_decode__(cls, data: dict[str, Any]) -> WorkflowMetadata:
        return cls(**data)


def get_workflow_metadata() -> WorkflowMetadata:
    """The run that the calling workflow or step belongs to.

    Raises RuntimeError outside of both.
    """
    loop = _get_running_loop()
    if type(loop) is not WorkflowLoop:
        found = context.current_step()
        if found is None:
            raise RuntimeError(
                "get_workflow_metadata() can only be called inside a workflow or a step"
            )
        return WorkflowMetadata(**found.workflow, is_replaying=False)
    execution = loop.execution
    return WorkflowMetadata(
        **workflow_facts(execution), is_replaying=execution.is_replaying
    )


def workflow_facts(execution: Execution) -> dict[str, Any]:
    """The metadata of a run as plain values, which its steps are given too."""
    info = execution.info
    return {
        "run_id": info.run_id,
        "workflow_name": info.workflow_name,
        "version": info.version,
        "started_at": datetime(1970, 1, 1, tzinfo=UTC)
        + timedelta(microseconds=execution.started_us),
        "url": f"{info.base_url}/runs/{info.run_id}/",
        "attempt": info.attempt,
        "key": info.key,
        "queue": info.queue,
        "attributes": copy.deepcopy(info.attributes) if info.attributes else {},
    }
