"""Hints through Django Channels' layer, where the project has one.

A message says what to look at again and holds no data: layers drop messages when they
are full. A layer that is in memory reaches nobody: it belongs to one event loop of one
process, which hears of commits from the database.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterable
from typing import Any

from django.conf import settings

logger = logging.getLogger("django_workflows.store")

#: The group that those who follow runs belong to.
GROUP = "django_workflows"
#: Hints in one message at most.
BATCH = 500
#: Seconds that a message may take.
PATIENCE = 5.0

Hint = tuple[str, str]
"""A notification channel and a payload, as in `store.notify`."""


def channel_layer() -> Any | None:
    """The project's layer if it reaches other processes."""
    if not getattr(settings, "CHANNEL_LAYERS", None):
        return None
    from channels.layers import InMemoryChannelLayer, get_channel_layer

    layer = get_channel_layer()
    return None if isinstance(layer, InMemoryChannelLayer) else layer


def announce(hints: Iterable[Hint]) -> None:
    """Send hints soon, and return at once; without a layer, do nothing."""
    if channel_layer() is not None:
        _get_announcer().announce(hints)


class _Announcer:
    """A thread whose event loop keeps the layer's connections; a loop for each message
    would open them anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Hints that nobody was sent yet; equal ones are sent once.
        self._waiting: set[Hint] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()

    def belongs_here(self) -> bool:
        return self._pid == os.getpid()

    def announce(self, hints: Iterable[Hint]) -> None:
        with self._lock:
            was_empty = not self._waiting
            self._waiting.update(hints)
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="workflows-layer", daemon=True
                ).start()
            if was_empty and self._waiting:
                asyncio.run_coroutine_threadsafe(self._send(), self._loop)

    async def _send(self) -> None:
        with self._lock:
            hints, self._waiting = list(self._waiting), set()
        layer = channel_layer()
        if layer is None:
            return
        try:
            for first in range(0, len(hints), BATCH):
                message = {
                    "type": "workflows.hints",
                    "hints": hints[first : first + BATCH],
                }
                async with asyncio.timeout(PATIENCE):
                    await layer.group_send(GROUP, message)
        except Exception:
            logger.warning(
                "could not send a hint through the channel layer; those who follow "
                "runs find out by looking",
                exc_info=True,
                extra={"action": "wake_up_lost"},
            )


_announcer = _Announcer()


def _get_announcer() -> _Announcer:
    global _announcer
    if not _announcer.belongs_here():
        _announcer = _Announcer()  # the thread stayed behind in the parent of the fork
    return _announcer
