"""The guard: refuses calls in workflow code that would not replay.

It sees every call that Python code makes, in the workflow, its helpers and libraries
alike, before it happens, and refuses what `guard_table` names, unless
`guard_verdict` knows why the call is harmless. How it sees them depends on the
Python version: `guard_profile`, `guard_monitoring`.

A burst in which something was refused must be given up, whatever the code does with
the exception: `on_refusal` is called with it first.

Not seen are calls made by C code, such as `map(time.time, ...)`.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from django_workflows.replay.guard_profile import ProfileGuard
from django_workflows.replay.guard_verdict import user_frame

if TYPE_CHECKING:
    Guard = ProfileGuard
    watching: AbstractContextManager[Any]
elif sys.version_info >= (3, 12):
    try:
        from django_workflows.replay.guard_monitoring import MonitoringGuard as Guard
        from django_workflows.replay.guard_monitoring import watching
    except RuntimeError:
        Guard, watching = ProfileGuard, nullcontext()
else:
    Guard, watching = ProfileGuard, nullcontext()

__all__ = ["Guard", "Unguarded", "watching", "workflow_location"]


class Unguarded:
    """In place of a guard with ``WORKFLOWS["GUARD"] = False``: refuses nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def pause(self) -> bool:
        return False

    def unpause(self, paused: bool) -> None:
        """Nothing was paused."""


def workflow_location(frame: FrameType | None = None) -> tuple[str, int]:
    """File and line of the user's code that is running: the nearest caller
    outside this package, the standard library and installed packages, or else
    the nearest caller of all. `frame` is where to begin, if not here."""
    frame = user_frame(frame or sys._getframe(1))
    return frame.f_code.co_filename, frame.f_lineno
