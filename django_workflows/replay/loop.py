"""An asyncio event loop without I/O and without a clock.

It runs what is ready, in order, and nothing else: time stands still within a burst,
and a timer fires only when the log says so. Tasks and futures hash by a number
counted per run, so that the sets inside asyncio iterate in one order everywhere.
"""

from __future__ import annotations

import asyncio
import math
from asyncio.futures import _set_result_unless_cancelled  # type: ignore[attr-defined]
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn

from django_workflows.replay import ordering

if TYPE_CHECKING:
    from django_workflows.replay.execution import Execution

ordering.install()


class WorkflowFuture(asyncio.Future[Any]):
    """A future that hashes the same in every replay of its run."""

    def __init__(self, *, loop: WorkflowLoop) -> None:
        self._number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class WorkflowTask(asyncio.Task[Any]):
    """A task that hashes the same in every replay of its run."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        loop: WorkflowLoop,
        name: str | None,
        context: Context | None,
    ) -> None:
        number = loop.next_number()
        # asyncio puts the task into one set of all the process's tasks while it is
        # being made. There the same small numbers of thousands of runs would collide.
        self._number = id(self)
        super().__init__(
            coro, loop=loop, name=name or f"task-{number}", context=context
        )
        self._number = number
        # A suspended run that is dropped leaves pending tasks; that is no mistake.
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._number


class DurableTimer(asyncio.TimerHandle):
    """A ``call_at`` of the workflow's loop: fires when its event is delivered."""

    timer_id: str | None = None


async def _await_operation(operation: Coroutine[Any, Any, Any]) -> Any:
    return await operation


class WorkflowLoop(asyncio.AbstractEventLoop):
    """The loop of one run. What needs a file or a thread is refused by name."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.now_us = 0
        self.tasks: list[WorkflowTask] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._numbers = 0

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def run_ready(self, until: asyncio.Future[Any] | None) -> None:
        """Run callbacks in order until none is ready, or `until` is done."""
        ready = self._ready
        while ready:
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
                if until is not None and until.done():
                    return

    def stop_here(self) -> None:
        """Let what is ready never run, nor anything that gets ready from now on."""
        self._ready.clear()
        self._ready = deque()

    def has_raised(self, error: BaseException) -> bool:
        """A task of this run has ended with this very exception."""
        return any(task._exception is error for task in self.tasks)

    def forget_ready(self) -> None:
        self._ready.clear()

    # -- what asyncio asks of a loop ------------------------------------------------

    def time(self) -> float:
        return self.now_us / 1_000_000

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = DurableTimer(when, callback, args, self, context)
        if when <= self.time():
            self._ready.append(timer)
        elif when != math.inf:
            kind = "sleep" if callback is _set_result_unless_cancelled else "timer"
            self.execution.timers.create(timer, kind)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, DurableTimer) and handle.timer_id is not None:
            self.execution.timers.cancel(handle.timer_id)

    def create_future(self) -> WorkflowFuture:
        return WorkflowFuture(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> WorkflowTask:
        if asyncio.isfuture(coro) or not hasattr(coro, "send"):
            raise TypeError(f"a coroutine was expected, got {coro!r}")
        if not isinstance(coro, CoroutineType):
            # One operation can be given to any number of tasks, so each drives a
            # coroutine of its own: two tasks on one iterator crash CPython.
            coro = _await_operation(coro)
        if self.execution.is_closing:
            # Clean-up code of a dropped run: its task will never begin.
            coro.close()
        task = WorkflowTask(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        if len(self.tasks) > 64 and len(self.tasks) > 2 * self._open_tasks:
            self.tasks = [t for t in self.tasks if not t.done()]
            self._open_tasks = len(self.tasks)
        return task

    _open_tasks = 32

    def get_task_factory(self) -> None:
        return None

    def get_exception_handler(self) -> None:
        return None

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.execution.report(context)


def _refused(name: str) -> Callable[..., NoReturn]:
    def method(self: WorkflowLoop, *args: Any, **kwargs: Any) -> NoReturn:
        self.execution.refuse(
            f"loop.{name}()",
            "it needs a file descriptor, a thread or another loop, which workflow code "
            "cannot have: move this into a @step",
        )

    method.__name__ = name
    return method


for _name in (
    "run_forever",
    "run_until_complete",
    "stop",
    "close",
    "shutdown_asyncgens",
    "shutdown_default_executor",
    "call_soon_threadsafe",
    "run_in_executor",
    "set_default_executor",
    "getaddrinfo",
    "getnameinfo",
    "create_connection",
    "create_server",
    "start_tls",
    "sendfile",
    "create_unix_connection",
    "create_unix_server",
    "connect_accepted_socket",
    "create_datagram_endpoint",
    "connect_read_pipe",
    "connect_write_pipe",
    "subprocess_shell",
    "subprocess_exec",
    "add_reader",
    "remove_reader",
    "add_writer",
    "remove_writer",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
    "sock_connect",
    "sock_accept",
    "sock_sendfile",
    "add_signal_handler",
    "remove_signal_handler",
    "set_task_factory",
    "set_exception_handler",
    "set_debug",
):
    setattr(WorkflowLoop, _name, _refused(_name))
