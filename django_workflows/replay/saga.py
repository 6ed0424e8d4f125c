"""``saga()``: what was done is undone, in reverse order, when the rest fails."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from django_workflows.core.serialization.names import display_name
from django_workflows.replay.api import current_execution
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.execution import Execution
from django_workflows.replay.steps import BoundStep, Step

logger = logging.getLogger("django_workflows.replay")

#: What makes a saga undo what was done. Anything else that unwinds the block (the run
#: goes on as a new one, or is dropped from memory) is no failure of it.
_FAILURES = (Exception, asyncio.CancelledError, BaseExceptionGroup, SystemExit)


class _Compensation(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def name(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))

    async def run(self) -> None:
        found = self.function(*self.args, **self.kwargs)
        if inspect.isawaitable(found):
            await found


class Saga:
    """The compensations of one ``async with saga()`` block; see :func:`saga`."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._registered: list[_Compensation] = []
        self._state = "new"

    def compensate(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> None:
        """Register what undoes a step: a step, or any async function.

        Nothing is called or recorded now. Raises TypeError for what cannot be called
        with these arguments, and RuntimeError outside of the saga's block.
        """
        if self._state != "open":
            raise RuntimeError(
                "compensate() belongs into the block of its saga: "
                "async with saga() as s: ..."
            )
        _check_call(function, args, kwargs)
        self._registered.append(_Compensation(function, args, kwargs))

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError("a saga is entered once: call saga() for another one")
        self._state = "open"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._state = "over"
        if not isinstance(error, _FAILURES) or not self._registered:
            return
        errors, cancelled = await self._undo()
        if not errors and cancelled is None:
            return
        # The run, or a time-out around the saga, has to see the cancellation itself.
        if isinstance(error, asyncio.CancelledError):
            error.__cause__ = _group("compensations failed", errors) or error.__cause__
            return
        problem: BaseException = error
        if errors:
            problem = BaseExceptionGroup(
                "a saga failed, and so did some of its compensations", [error, *errors]
            )
        if cancelled is not None:
            raise cancelled from problem
        raise problem from None

    async def _undo(
        self,
    ) -> tuple[list[BaseException], asyncio.CancelledError | None]:
        """Run all compensations, the last registered first.

        Returns how some have failed, and the cancellation that came meanwhile: it waits
        until all is undone.
        """
        errors: list[BaseException] = []
        cancelled = None
        while self._registered:
            compensation = self._registered.pop()
            task = asyncio.create_task(compensation.run())
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError as request:
                    cancelled = request
            failed = _error_of(task, compensation)
            if failed is not None:
                errors.append(failed)
                self._tell(compensation, failed)
        return errors, cancelled

    def _tell(self, compensation: _Compensation, error: BaseException) -> None:
        if not self._execution.is_silent:
            run_id = self._execution.info.run_id
            logger.error(
                "the compensation %s of run %s failed with %s; its log says more",
                compensation.name,
                run_id,
                display_name(type(error)),
                extra={"action": "compensation_failed", "run_id": run_id},
            )


def saga() -> Saga:
    """Undo what was done when the rest fails: ``async with saga() as s: ...``.

    ``s.compensate(undo, *args)`` registers a step, or any async function, that undoes
    what has been done, or is about to be. When the block ends by an exception or is
    cancelled, the compensations run, the last registered first, one after the other,
    as durably as everything else; a cancellation that comes meanwhile waits for them.
    Then

    - the exception goes on, if all of them succeeded;
    - an ``ExceptionGroup`` leaves the block if some of them failed. It holds the
      exception of the block first, then the errors of the compensations in the order
      in which they ran. All others have run nevertheless;
    - ``CancelledError`` leaves the block whenever it was cancelled, so that the run
      ends as cancelled. Errors of compensations are its ``__cause__``.

    When the block ends well, nothing is undone. Register a compensation before its
    step: a step that is cancelled may have taken effect. Raises RuntimeError outside of
    workflow code.
    """
    return Saga(current_execution("saga()"))


def _check_call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not callable(function):
        raise TypeError(
            f"compensate() takes a function and its arguments, not {function!r}: "
            "s.compensate(release, order_id)"
        )
    is_ours = isinstance(function, Step | BoundStep | Workflow)
    try:
        signature = inspect.signature(function.func if is_ours else function)
    except ValueError:
        return  # of a builtin that does not tell
    signature.bind(*args, **kwargs)


def _error_of(
    task: asyncio.Task[None], compensation: _Compensation
) -> BaseException | None:
    if task.cancelled():
        return RuntimeError(f"the compensation {compensation.name} was cancelled")
    return task.exception()


def _group(message: str, errors: list[BaseException]) -> BaseException | None:
    return BaseExceptionGroup(message, errors) if errors else None
