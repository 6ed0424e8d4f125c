"""What a worker process notes on the notice board, through django-q2's signals."""

from __future__ import annotations

from multiprocessing import util
from typing import Any

from django_q.conf import logger
from django_q.signals import post_execute_in_worker, post_spawn, pre_execute

from django_workflows.conf import conf
from django_workflows.worker.q2.board import Board
from django_workflows.worker.q2.packages import TICKET

_UID = "django_workflows.worker.q2"


def connect(board: Board) -> None:
    """Make the workers forked from now on report to ``board``."""
    receivers = _Receivers(board)
    for signal, receiver in (
        (post_spawn, receivers.spawned),
        (pre_execute, receivers.begins),
        (post_execute_in_worker, receivers.ends),
    ):
        signal.disconnect(dispatch_uid=_UID)
        signal.connect(receiver, weak=False, dispatch_uid=_UID)


class _Receivers:
    """Receivers must not raise: django-q2's worker would die."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def spawned(self, **kwargs: Any) -> None:
        # multiprocessing runs its finalizers when the process ends in order, before
        # it joins threads.
        util.Finalize(None, self._shut_down, exitpriority=100)

    def begins(self, *, task: dict[str, Any], **kwargs: Any) -> None:
        if (ticket := task.get(TICKET)) is not None:
            self._board.begin_work(ticket)

    def ends(self, *, task: dict[str, Any], **kwargs: Any) -> None:
        if (ticket := task.get(TICKET)) is not None:
            self._board.end_work(ticket)
        elif isinstance(ack_id := task.get("ack_id"), int):
            self._board.touch_down(ack_id)

    def _shut_down(self) -> None:
        from django_workflows.worker.process import shutdown

        try:
            shutdown(self._board.grace_left(conf.GRACE))
        except Exception:
            logger.exception("The worker did not end in order.")
