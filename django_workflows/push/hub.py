"""What is followed in this process: looked at once, read once, told to all clients."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from weakref import WeakKeyDictionary

from django.db.utils import DatabaseError, InterfaceError

from django_workflows.push.layers import listen
from django_workflows.push.messages import Message, chunk_messages, event_messages
from django_workflows.push.readers import get_readers
from django_workflows.store.chunks import stream_id
from django_workflows.store.following import Sight, look
from django_workflows.store.notify import DONE, STREAM
from django_workflows.store.watching import Watch, watching

logger = logging.getLogger("django_workflows.push")

#: Seconds between two looks at least, however much is written.
SHORTEST_PAUSE = 0.01
#: Seconds between two looks at most, although nothing was announced: changes of a
#: run's status and its log are announced by few databases.
LONGEST_PAUSE = 0.25
#: Seconds to wait for a database that does not answer.
OUTAGE_PAUSE = 1.0
#: Bytes of what was read that are kept for clients a little behind.
KEPT_BYTES = 256 * 1024

_OUTAGES = (DatabaseError, InterfaceError)


class Pages:
    """What was read of one stream or log, so that it is read once for all clients."""

    def __init__(self, read: Callable[[int], list[Message]]) -> None:
        self._read = read
        self._reading: dict[int, asyncio.Future[Sequence[Message]]] = {}
        self._kept: OrderedDict[int, Sequence[Message]] = OrderedDict()
        self._size = 0

    async def get(self, start: int, end: int) -> Sequence[Message]:
        """Some messages from number `start` on; none if they cannot be read now."""
        for first in reversed(self._kept):
            page = self._kept[first]
            if first <= start < first + len(page):
                return page[start - first : end - first]
        reading = self._reading.get(start)
        if reading is None:
            reading = asyncio.ensure_future(self._fetch(start))
            self._reading[start] = reading
        # Others wait for it as well: who leaves does not end it.
        page = await asyncio.shield(reading)
        return page[: end - start]

    async def _fetch(self, start: int) -> Sequence[Message]:
        try:
            page = await get_readers().run(partial(self._read, start))
        except _OUTAGES as error:
            logger.warning("cannot read what clients follow: %s", error)
            return ()
        finally:
            del self._reading[start]
        if page:
            self._kept[start] = page
            self._size += _size(page)
            while self._size > KEPT_BYTES and len(self._kept) > 1:
                self._size -= _size(self._kept.popitem(last=False)[1])
        return page


def _size(page: Sequence[Message]) -> int:
    return sum(len(message.text) for message in page)


class Topic:
    """A run and one of its streams, and the clients who follow them."""

    def __init__(self, run_id: str, namespace: str) -> None:
        self.stream_id = stream_id(run_id, namespace)
        self.chunks = Pages(partial(chunk_messages, self.stream_id))
        self.events = Pages(partial(event_messages, run_id))
        self.sight: Sight | None = None
        self.clients: set[asyncio.Event] = set()

    def see(self, sight: Sight | None) -> None:
        """This is how they stand now."""
        if sight != self.sight:
            self.sight = sight
            for told in self.clients:
                told.set()


class Subscription:
    """One client's view of a topic; a `Source` for `follow`."""

    def __init__(
        self, topic: Topic, told: asyncio.Event, looking: asyncio.Task[None]
    ) -> None:
        self._topic = topic
        self._told = told
        self._looking = looking
        self.chunks = topic.chunks.get
        self.events = topic.events.get

    async def sight(self) -> Sight | None:
        """How the run and its stream stood at the last look."""
        self._told.clear()
        return self._topic.sight

    async def wait(self, timeout: float) -> None:
        """Wait for a look that finds something new. Raises what ended the looking."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._told.wait()
        if self._looking.done():
            self._looking.result()


class Hub:
    """Looks at everything that is followed on one event loop."""

    def __init__(self) -> None:
        self._topics: dict[tuple[str, str], Topic] = {}
        #: Clients that wait for a look of which they know that it is not an old one.
        self._joining: list[asyncio.Future[None]] = []
        self._watch: Watch | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def clients(self) -> int:
        """How many follow something here."""
        return sum(len(topic.clients) for topic in self._topics.values())

    @asynccontextmanager
    async def subscribe(
        self, run_id: str, namespace: str
    ) -> AsyncIterator[Subscription]:
        """Follow a run and one of its streams, seen anew, until the block is left."""
        key = (run_id, namespace)
        if key not in self._topics:
            self._topics[key] = Topic(run_id, namespace)
        topic, told = self._topics[key], asyncio.Event()
        topic.clients.add(told)
        try:
            looking = self._start()
            await self._next_look()
            yield Subscription(topic, told, looking)
        finally:
            topic.clients.discard(told)
            if not topic.clients and self._topics.get(key) is topic:
                del self._topics[key]
            if not self._topics and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def _start(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_again_and_again())
            self._looking.add_done_callback(self._tell_of_end)
        return self._looking

    async def _next_look(self) -> None:
        joining: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._joining.append(joining)
        if self._watch is not None:
            self._watch.tell()
        await joining

    async def _look_again_and_again(self) -> None:
        loop = asyncio.get_running_loop()
        with watching() as watch:
            self._watch = watch
            listening = asyncio.create_task(listen(watch))
            try:
                while True:
                    began = loop.time()
                    await self._look(watch)
                    await watch.async_wait(LONGEST_PAUSE)
                    await asyncio.sleep(began + SHORTEST_PAUSE - loop.time())
            finally:
                if self._watch is watch:
                    self._watch = None
                listening.cancel()
                await asyncio.wait([listening])

    async def _look(self, watch: Watch) -> None:
        joining, self._joining = self._joining, []
        wanted = dict(self._topics)
        # Listened to before they are looked at, so that nothing falls in between.
        watch.topics = frozenset(
            topic
            for (run_id, _), followed in wanted.items()
            for topic in (
                (STREAM, followed.stream_id),
                (STREAM, run_id),
                (DONE, run_id),
            )
        )
        try:
            sights = await get_readers().run(partial(look, wanted.keys()))
        except BaseException as error:
            self._joining += joining
            if not isinstance(error, _OUTAGES):
                raise
            logger.warning("cannot look at what clients follow: %s", error)
            await asyncio.sleep(OUTAGE_PAUSE)
            return
        for key, topic in wanted.items():
            topic.see(sights.get(key))
        for each in joining:
            if not each.done():
                each.set_result(None)

    def _tell_of_end(self, looking: asyncio.Task[None]) -> None:
        """Nobody may wait for a look that will not come."""
        error = None if looking.cancelled() else looking.exception()
        if error is None:
            return
        joining, self._joining = self._joining, []
        for each in joining:
            if not each.done():
                each.set_exception(error)
        for topic in self._topics.values():
            for told in topic.clients:
                told.set()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def get_hub() -> Hub:
    """The hub of the running event loop; a server's process has one."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
