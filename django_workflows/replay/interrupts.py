"""Tells a workflow's own SystemExit from one that a signal brought into it."""

from __future__ import annotations

import signal
import traceback


def is_from_outside(error: BaseException) -> bool:
    """A signal handler raised it, as django-q2's time limit and workers' stops do.

    The code that it hit is not to blame, and nothing of the burst may be stored.
    """
    handlers = {
        getattr(signal.getsignal(number), "__code__", None)
        for number in signal.valid_signals()
    }
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code in handlers for frame, _ in frames)
