"""The messages that go from the pusher to the workers."""

from __future__ import annotations

import uuid

from django.utils import timezone
from django_q.signing import SignedPackage

WORK = "django_workflows.worker.tasks.work"
TICKET = "workflows_ticket"
"""The key of a package under which its ticket stands."""

_REQUIRED = frozenset({"id", "name", "func", "args", "kwargs", "started"})


def work_package(ticket: int) -> str:
    """Return the signed task that makes a worker run its reactor for one slice.

    It has no time limit: slices are bounded by themselves, and django-q2's limit
    would replace a healthy process.
    """
    return str(
        SignedPackage.dumps(
            {
                "id": uuid.uuid4().hex,
                "name": "workflows",
                "func": WORK,
                "args": (),
                "kwargs": {},
                "started": timezone.now(),
                "save": False,
                "timeout": -1,
                TICKET: ticket,
            }
        )
    )


def complaint(payload: str) -> str | None:
    """Return why an ordinary message must be dropped, or None if it can be run.

    django-q2's pusher or worker would die of it.
    """
    try:
        task = SignedPackage.loads(payload)
    except Exception as error:
        # Unpickling runs code of the message: anything may be raised.
        return f"it cannot be read ({type(error).__name__}: {error})"
    if not isinstance(task, dict):
        return f"it is a {type(task).__name__}, not a dict"
    if missing := _REQUIRED - task.keys():
        return f"it lacks {', '.join(sorted(missing))}"
    limit = task.get("timeout", -1)
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        return f"its timeout is {limit!r}, not a number"
    return None


def served_queues() -> tuple[str, ...]:
    """Return the queues of this cluster."""
    from django_workflows.worker.process import serve_queues

    return serve_queues()
