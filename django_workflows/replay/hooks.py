"""Hooks: a workflow's named doors, through which payloads come in from outside."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django_workflows.core import serialization
from django_workflows.core.payloads import check_size
from django_workflows.errors import HookConflictError, HookDisposedError
from django_workflows.replay.events import HOOK_CREATED, HOOK_DISPOSED, LogEvent
from django_workflows.replay.loop import WorkflowFuture
from django_workflows.replay.operations import Operation
from django_workflows.replay.options import check_name

if TYPE_CHECKING:
    from django_workflows.replay.execution import Execution


class Hook(Operation):
    """A claim on a token. Each ``await`` gives the next payload sent to it.

    Usable as ``async for`` (until disposed) and as a context manager (disposed on
    leaving). An await raises HookConflictError if another run holds the token, and
    HookDisposedError once the hook is disposed of and all its payloads are read.
    """

    def __init__(self, execution: Execution, operation_id: str, token: str) -> None:
        super().__init__(execution, operation_id)
        self.token = token
        self.is_disposed = False
        self._payloads: deque[bytes] = deque()
        self._waiters: deque[WorkflowFuture] = deque()
        # `future` is the outcome of the claim: None, or the run that holds the token.

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._next().__await__()

    async def _next(self) -> Any:
        while True:
            if self.future.done() and self.future.result() is not None:
                raise HookConflictError(
                    f"the token of hook {self.id} is held by run "
                    f"{self.future.result()}",
                    token=self.token,
                    run_id=self.future.result(),
                )
            if self._payloads:
                # Taken only now that the waiting code runs: a wait that is cancelled
                # in the same moment loses nothing.
                return self.execution.decode(self._payloads.popleft())
            if self.is_disposed:
                raise HookDisposedError(f"hook {self.id} has been disposed of")
            waiter = self.execution.loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()
                raise
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def __aiter__(self) -> Hook:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self
        except HookDisposedError:
            raise StopAsyncIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.dispose()

    async def get_conflict(self) -> str | None:
        """The id of the run that holds the token, or None if this hook got it."""
        held_by: str | None = await asyncio.shield(self.future)
        return held_by

    def dispose(self) -> None:
        """Give the token up. Payloads already received can still be read."""
        if self.is_disposed:
            return
        self.is_disposed = True
        if not (self.future.done() and self.future.result() is not None):
            self._give_up()
        if not self.future.done():
            # Given up before the outcome of the claim: nobody is in the way.
            self.future.set_result(None)
        self._wake_all()

    @property
    def unread(self) -> list[bytes]:
        """Encoded payloads received and not yet awaited, oldest first."""
        return list(self._payloads)

    def _give_up(self) -> None:
        if not self.execution.is_over:
            self.execution.hooks.pop(self.id, None)
            self.execution.issue(LogEvent(HOOK_DISPOSED, self.id))

    # -- called by the execution ----------------------------------------------------

    def claimed(self, held_by: str | None) -> None:
        if not self.future.done():
            self.future.set_result(held_by)
        if held_by is not None:
            self._wake_all()

    def received(self, payload: bytes) -> None:
        self._payloads.append(payload)
        self._wake_one()

    def cancel_requested(self) -> None:
        """A cancelled wait leaves the hook as it is."""

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        for waiter in list(self._waiters):
            if not waiter.done():
                waiter.set_result(None)

    def take_over(self, carried: Hook) -> None:
        """Go on with what a predecessor's hook has received meanwhile."""
        self._payloads = carried._payloads


H = TypeVar("H", bound=Hook)


def create_hook(
    execution: Execution,
    token: str | None,
    metadata: Any,
    facts: Mapping[str, Any] | None = None,
) -> Hook:
    """Claim a token, or one that nobody can guess; see :func:`claim`."""
    return claim(Hook, execution, token, metadata, facts)


def claim(
    kind: type[H],
    execution: Execution,
    token: str | None,
    metadata: Any,
    facts: Mapping[str, Any] | None,
) -> H:
    """Claim a token, or one that nobody can guess.

    `facts` are what other processes have to know of the hook, plain JSON: they go into
    the event, and from there into the row (`store.hooks.facts_of`). A replay does not
    compare them: they may change with the code.
    """
    execution.require_task("create_hook()")
    if token is not None:
        check_name("token", token, 1000)
    payload = None
    if metadata is not None:
        payload = check_size(serialization.dumps(metadata, root="metadata"))
    carried = None if token is None else execution.carried.pop(token, None)
    hook_id = carried.id if carried else execution.next_id("hook", token or "")
    mark = {"carried": True} if carried else {}
    generated = execution.chance.hook_token(hook_id)
    event = execution.issue(
        LogEvent(
            HOOK_CREATED,
            hook_id,
            detail={
                "name": token or "",
                "token": token or generated,
                **mark,
                **(facts or {}),
            },
            payload=payload,
        )
    )
    hook = kind(execution, event.correlation_id, event.detail["token"])
    if carried:
        hook.take_over(carried)
    execution.hooks[hook.id] = hook
    return hook
