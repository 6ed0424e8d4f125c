"""A whole worker in the test's own process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django_workflows.worker.process import WorkerProcess
from tests.cluster.harness import DEADLINE

_WITH_CONNECTIONS = ("workflows_beat", "workflows-heartbeats")


@contextmanager
def one_worker(before_end: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A worker on a thread of its own, until the block is left.

    `before_end` lets go of steps that would keep it from ending.
    """
    over = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            worker = WorkerProcess(("default",))
            while not over.is_set():
                worker.work()
            worker.shutdown(DEADLINE / 2)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    try:
        yield
    finally:
        before_end()
        over.set()
        thread.join(DEADLINE)
        assert not thread.is_alive()
        for beside in threading.enumerate():
            if beside.name in _WITH_CONNECTIONS:
                # Where tests end, so does the use of Django's connections.
                beside.join(DEADLINE)
        if errors:
            raise errors[0]
