"""The one task that django-q2 runs for us."""

from __future__ import annotations

import logging

logger = logging.getLogger("django_workflows.worker")


def work() -> None:
    """Advance workflows in this process until nothing is due, or for one slice.

    Raises no error: django-q2's own retries have no part in what workflows do. In a
    plain ``qcluster``, which does not know of it, a process that is to be replaced ends
    here; its finalizers see to what it has in hand.
    """
    from django_workflows.worker import process

    try:
        process.current().work()
    except Exception:
        logger.exception("the reactor failed", extra={"action": "reactor_failed"})
        process.discard()
    if process.is_draining() and not process.ends_when_drained:
        raise SystemExit(0)
