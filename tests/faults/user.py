"""Somebody else, who has a transaction open for as long as a test likes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue
from typing import Any, Self, TypeVar

from django.db import connections, transaction

from django_workflows.models import Run
from tests.cluster.harness import DEADLINE

T = TypeVar("T")


class User:
    """A thread with a connection of its own, in a transaction.

    Leaving the context without `commit` rolls it back.
    """

    def __init__(self) -> None:
        self._asked: Queue[Callable[[], Any] | None] = Queue()
        self._answers: Queue[tuple[Any, BaseException | None]] = Queue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._keeps = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end()

    def do(self, action: Callable[[], T]) -> T:
        """Do something in the transaction; what it raises is raised here."""
        self._asked.put(action)
        answer, error = self._answers.get(timeout=DEADLINE)
        if error is not None:
            raise error
        found: T = answer
        return found

    def lock(self, run: Run) -> None:
        """Lock a run's row."""
        self.do(lambda: Run.objects.select_for_update().get(pk=run.pk))

    def commit(self) -> None:
        self._keeps = True
        self._end()

    def rollback(self) -> None:
        self._end()

    def _end(self) -> None:
        self._asked.put(None)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        try:
            with transaction.atomic():
                while (action := self._asked.get()) is not None:
                    try:
                        self._answers.put((action(), None))
                    except BaseException as error:
                        self._answers.put((None, error))
                if not self._keeps:
                    transaction.set_rollback(True)
        finally:
            connections.close_all()
