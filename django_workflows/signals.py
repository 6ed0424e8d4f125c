"""Django signals that tell what happens to runs.

Each is sent once what it tells of is committed, with the model class ``Run`` as sender
and these keyword arguments: ``run_id``, ``workflow`` (its name), ``status`` (of the
run, and for ``step_finished`` of the step) and ``run``, the ``Run``, which is read from
the database when a receiver first looks at it. More are named below.

A worker sends them from a thread of its own, never in workflow code and never in the
way of other runs; what callers do is sent on their thread, like everything of
``transaction.on_commit()``. A receiver that raises is logged, and harms nothing.

They are sent at most once: a process that is killed right after its commit has not sent
them. What must happen belongs into a step.
"""

from __future__ import annotations

from django.dispatch import Signal

#: A run has been started, by whomever; it has not begun.
run_created = Signal()
#: A worker has begun to run its code.
run_started = Signal()
#: It has ended; ``status`` tells how.
run_finished = Signal()
#: It cannot go on with today's code: ``reason``, and ``times`` that it has been so.
run_blocked = Signal()
#: Nothing new of it starts until it is resumed.
run_paused = Signal()
#: It goes on.
run_resumed = Signal()
#: A closed run is open again; ``attempt`` counts its lives, the first being 1.
run_retried = Signal()
#: A step has ended for good, "completed" or "failed", and its workflow has been told:
#: ``step_id``, ``step_name`` and ``attempt``, the number of its last one.
step_finished = Signal()

__all__ = [
    "run_blocked",
    "run_created",
    "run_finished",
    "run_paused",
    "run_resumed",
    "run_retried",
    "run_started",
    "step_finished",
]
