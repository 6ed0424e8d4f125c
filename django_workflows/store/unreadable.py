"""Steps on offer that this process cannot read: it has not their codec, or not the key.

They are left to others. Until something has changed, those behind them have their turn,
and nobody here is told that there is work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django_workflows.core.payloads import unseal

logger = logging.getLogger("django_workflows.store")

#: Seconds after which all of them are looked at again.
AGAIN = 60.0


class Unreadable:
    """Those that this process has met."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        #: What the last one holds: with that, others can be read as well.
        self._sample: Sequence[Any] = ()
        self._until = 0.0
        #: How many there were so far.
        self.met = 0

    @property
    def ids(self) -> tuple[str, ...]:
        """Those that are not to be looked at now."""
        if self._ids and (
            time.monotonic() >= self._until or _error_of(self._sample) is None
        ):
            self._ids.clear()
        return tuple(self._ids)

    def can_read(self, step_id: str, *payloads: Any) -> bool:
        """Whether this process has what it takes to read them; else others may."""
        error = _error_of(payloads)
        if error is None:
            return True
        _tell(step_id, str(error))
        if not self._ids:
            self._until = time.monotonic() + AGAIN
        self.met += 1
        self._ids[step_id] = None
        self._sample = payloads
        return False


unreadable = Unreadable()


def _error_of(payloads: Sequence[Any]) -> Exception | None:
    try:
        for payload in payloads:
            unseal(bytes(payload or b""))
    except Exception as error:
        return error
    return None


@lru_cache(maxsize=1000)
def _tell(step_id: str, error: str) -> None:
    """Once for each step."""
    logger.warning(
        "step %s cannot be read by this process and is left to others: %s",
        step_id,
        error,
        extra={"action": "step_unreadable", "step": step_id},
    )
