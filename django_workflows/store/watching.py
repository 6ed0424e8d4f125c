"""One thread per process that hears of what others commit, for everyone who waits."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from django_workflows.store.database import alias
from django_workflows.store.notify import ANSWERED, DONE, STREAM
from django_workflows.store.wakers import News, make_waker

#: What the thread listens to.
CHANNELS = (ANSWERED, DONE, STREAM)
#: Longest wait, in seconds, before looking again although nothing was announced.
LOOK_AGAIN = 0.5
#: Seconds for which the thread goes on listening when nobody waits any more.
IDLE = 2.0

#: A channel and a payload, or None for any payload.
Topic = tuple[str, str | None]


class Watch:
    """Waits for news of some topics. It belongs to one thread, or to one event loop.

    News are hints: whoever waits looks again after each wait, and news that come while
    it looks end the next wait at once.
    """

    def __init__(self, topics: Iterable[Topic]) -> None:
        #: May be replaced at any time; look again afterwards.
        self.topics = frozenset(topics)
        self._is_told = threading.Event()
        self._loop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def concerns(self, news: News | None) -> bool:
        """Whether it is to look again; None is news of which nothing is known."""
        if news is None:
            return True
        return any(
            (channel, payload) in self.topics or (channel, None) in self.topics
            for channel, payload in news
        )

    def tell(self) -> None:
        """There is news. Any thread may call this."""
        self._is_told.set()
        if self._loop is not None:
            loop, told = self._loop
            with suppress(RuntimeError):  # it has been closed
                loop.call_soon_threadsafe(told.set)

    def wait(self, timeout: float = LOOK_AGAIN) -> None:
        """Wait for news since the last wait, at most `timeout` seconds."""
        self._is_told.wait(timeout)
        self._is_told.clear()

    async def async_wait(self, timeout: float = LOOK_AGAIN) -> None:
        """The same on an event loop."""
        if self._loop is None:
            self._loop = (asyncio.get_running_loop(), asyncio.Event())
        told = self._loop[1]
        if not self._is_told.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await told.wait()
        told.clear()
        self._is_told.clear()


class Watcher:
    """The thread and those who wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def belongs_here(self) -> bool:
        return self._pid == os.getpid()

    def add(self, watch: Watch) -> None:
        with self._lock:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._listen, name="workflows-watcher", daemon=True
                )
                self._thread.start()

    def remove(self, watch: Watch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def _listen(self) -> None:
        waker = make_waker(CHANNELS, alias())
        # What was announced before nobody has heard.
        self._tell(None)
        idle_since = time.monotonic()
        try:
            while True:
                woken = waker.wait(LOOK_AGAIN)
                with self._lock:
                    if self._watches:
                        idle_since = time.monotonic()
                    elif time.monotonic() - idle_since > IDLE:
                        self._thread = None
                        return
                if woken:
                    self._tell(waker.news)
        finally:
            waker.close()

    def _tell(self, news: News | None) -> None:
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            if watch.concerns(news):
                watch.tell()


_watcher = Watcher()


def _get_watcher() -> Watcher:
    global _watcher
    if not _watcher.belongs_here():
        _watcher = Watcher()  # the thread stayed behind in the parent of the fork
    return _watcher


@contextmanager
def watching(*topics: Topic) -> Iterator[Watch]:
    """Hear of these topics until the block is left."""
    watcher = _get_watcher()
    watch = Watch(topics)
    watcher.add(watch)
    try:
        yield watch
    finally:
        watcher.remove(watch)
