"""What the code of an attempt and those who watch over it tell each other."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from django_workflows.core import serialization
from django_workflows.core.payloads import check_size
from django_workflows.errors import StepCancelledError

#: Seconds that a thread waits for its first details to be stored.
FIRST_WRITE = 1.0


class Pulse:
    """The signs of life of one attempt, and whether it shall stop.

    Every attribute is written by one side and read by the other, as a whole, so that
    no lock is needed but the executor's for what says so.
    """

    #: When its code began, and last said that it is alive: monotonic, 0 before.
    began_at: float = 0.0
    beat_at: float = 0.0
    #: The longest time between two signs of life so far, in seconds.
    silence: float = 0.0
    #: The last details, encoded; those that no row holds yet are unwritten.
    details: bytes | None = None
    is_unwritten: bool = False
    written_at: float = 0.0
    #: Called at each sign of life; True: with details that are to be stored.
    on_beat: Callable[[bool], None] | None = None
    #: Its first details are to be stored before its code goes on; set when they
    #: are.
    waits: bool = False
    stored: threading.Event | None = None
    #: Once the code has written to streams: calls something as soon as that is
    #: stored, so that no details tell of more than there is.
    after_writing: Callable[[Callable[[], None]], None] | None = None
    #: Why it shall stop; empty while it may go on. Where nobody watches over it
    #: meanwhile, `look` finds out.
    stopped: str = ""
    look: Callable[[], None] | None = None
    #: For code in a process of its own: end it; tell it why it shall stop.
    kill: Callable[[], None] | None = None
    tell: Callable[[str], object] | None = None
    #: Under the executor's lock: its end has been reported; its slot is free
    #: although its code still runs; its thread has come to the end of it.
    is_over: bool = False
    is_given_up: bool = False
    is_through: bool = False

    def begin(self) -> None:
        """The attempt's code begins now."""
        self.began_at = self.beat_at = time.monotonic()

    def is_stopped(self) -> bool:
        """Whether what its code has done does not count any more."""
        if self.look is not None:
            self.look()
        return bool(self.stopped)

    def beat(self, details: Any) -> None:
        """The code is alive. Raises as ``StepMetadata.heartbeat`` says."""
        data = None
        if details is not None:
            data = serialization.dumps(details, root="heartbeat details")
            check_size(data)
        if data is not None and self.after_writing is not None:
            self.hear(None)
            self.after_writing(lambda: self.hear(data))
        else:
            self.hear(data)
        if self.is_stopped():
            raise StepCancelledError(self.stopped)
        if data is not None and self.waits:
            self._wait_until_stored()

    def hear(self, details: bytes | None) -> None:
        """Take in a sign of life, with encoded details or without."""
        now = time.monotonic()
        self.silence = max(self.silence, now - self.beat_at)
        self.beat_at = now
        if details is not None:
            self.details = details
            self.is_unwritten = True
        if self.on_beat is not None:
            self.on_beat(details is not None)

    def _wait_until_stored(self) -> None:
        # An event loop must not wait for the database.
        if self.stored is None and asyncio._get_running_loop() is None:
            self.stored = threading.Event()
            if self.is_unwritten:
                self.stored.wait(FIRST_WRITE)

    def written(self, data: bytes, at: float) -> bool:
        """A row holds these details, as of that time. False if there are newer ones."""
        self.written_at = at
        # In this order: more may be coming in meanwhile.
        self.is_unwritten = False
        is_last = self.details is data
        if not is_last:
            self.is_unwritten = True
        if self.stored is not None:
            self.stored.set()
        return is_last
