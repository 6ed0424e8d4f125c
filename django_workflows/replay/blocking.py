"""What ends a burst of which nothing may be stored."""

from __future__ import annotations


class RunBlocked(BaseException):
    """The run cannot go on with today's code; nothing of the burst may be stored."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class BurstTimeout(BaseException):
    """Raised into a burst by the watchdog of the worker."""
