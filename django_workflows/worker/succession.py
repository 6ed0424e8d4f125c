"""What a run that continues as new leaves to its successor."""

from __future__ import annotations

from django_workflows.core.ids import new_id
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import Execution
from django_workflows.store.round_types import Successor


def succeed(execution: Execution, end: LogEvent) -> Successor:
    """The successor of a run that has ended with `end`, which names it from now on."""
    successor = Successor(
        id=new_id("wrun"),
        queue=execution.info.queue,
        input=end.payload or b"",
        unread=[
            (hook.id, payload)
            for hook in execution.hooks.values()
            for payload in hook.unread
        ],
    )
    # The arguments are in the successor's own log.
    end.payload = None
    end.detail = {"run_id": successor.id}
    return successor
