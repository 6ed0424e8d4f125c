"""Queues between processes of which any may be killed at any moment.

django-q2's queues are pipes guarded by locks and counted by a semaphore. A worker that
is killed while it waits takes the read lock with it; a pusher that is killed takes the
room of what it had not written yet; and half a message in the pipe makes nonsense of
the rest. A datagram socket needs none of that: the kernel hands each message whole to
one reader, and the dead hold nothing.
"""

from __future__ import annotations

import fcntl
import pickle
import select
import socket
import struct
import tempfile
import termios
import time
from collections import deque
from queue import Empty, Full
from typing import Any

from django_q.conf import logger

from django_workflows.store.wakers import Backoff

LONGEST_INLINE = 16 * 1024
"""Bytes of a message that travel through the socket; longer ones through a file."""

IN_FILE = b"@"
"""What travels through the socket with the descriptor of such a file."""


DESCRIPTOR = struct.Struct("i")


class MessageQueue:
    """Messages for any number of readers, with the interface of a queue.

    Tasks and results of django-q2 are pickles; so are these messages, which never
    leave the cluster.
    """

    def __init__(self, limit: int = 0) -> None:
        """Make a queue of at most ``limit`` messages (0: as many as the kernel takes).

        With a limit, only one process at a time may put.
        """
        # Datagrams on a Unix socket are reliable and ordered. SEQPACKET, where it
        # exists, also tells how many bytes wait in all.
        kind = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
        try:
            self._writer, self._reader = socket.socketpair(socket.AF_UNIX, kind)
        except OSError:  # macOS names SEQPACKET but has none for Unix sockets
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._writer, self._reader = pair
        self._limit = limit
        self._sizes: deque[int] = deque()

    def put(self, message: Any, timeout: float | None = None) -> None:
        """Put a message, waiting for room.

        Raises:
            Full: there was no room for ``timeout`` seconds.
        """
        data = _pickled(message)
        deadline = None if timeout is None else time.monotonic() + timeout
        self._wait_for_room(deadline)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([], [self._writer], [], left)[1]:
            raise Full
        if len(data) <= LONGEST_INLINE:
            self._writer.sendall(data)
            self._note_size(len(data))
            return
        # The file has no name: it goes away with the last process that has it open.
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            socket.send_fds(self._writer, [IN_FILE], [file.fileno()])
        self._note_size(len(IN_FILE))

    def get(self, timeout: float | None = None) -> Any:
        """Take the next message, waiting for one.

        Raises:
            Empty: none came within ``timeout`` seconds.
        """
        flags = 0
        if timeout is not None:
            # Another reader may be faster, so that we must not block after the wait.
            flags = socket.MSG_DONTWAIT
            select.select([self._reader], [], [], timeout)
        try:
            # Not `socket.recv_fds`, which forgets the flags.
            data, ancillary, _, _ = self._reader.recvmsg(
                LONGEST_INLINE, socket.CMSG_LEN(DESCRIPTOR.size), flags
            )
        except BlockingIOError:
            raise Empty from None
        for _, _, descriptors in ancillary:
            (descriptor,) = DESCRIPTOR.unpack(descriptors)
            with open(descriptor, "rb") as file:
                file.seek(0)
                data = file.read()
        return pickle.loads(data)  # noqa: S301  (written by our own processes)

    def take_all(self) -> list[Any]:
        """Take everything that waits."""
        messages = []
        while True:
            try:
                messages.append(self.get(timeout=0))
            except Empty:
                return messages

    def empty(self) -> bool:
        """Tell whether nothing waits."""
        return not select.select([self._reader], [], [], 0)[0]

    def qsize(self) -> int:
        """Return 1 if anything waits, else 0: readers in other processes do not tell.

        django-q2 only shows this number.
        """
        return int(not self.empty())

    def close(self) -> None:
        """Close this process's ends."""
        self._writer.close()
        self._reader.close()

    def _wait_for_room(self, deadline: float | None) -> None:
        pauses = Backoff(0.0005, 0.01)
        while self._limit and self._pending() >= self._limit:
            if deadline is not None and time.monotonic() >= deadline:
                raise Full
            time.sleep(pauses.next())

    def _note_size(self, size: int) -> None:
        if self._limit:
            self._sizes.append(size)

    def _pending(self) -> int:
        """Return how many of our messages no reader has taken yet.

        The kernel knows the bytes that wait; they belong to the latest messages.
        """
        answer = fcntl.ioctl(self._reader.fileno(), termios.FIONREAD, bytes(4))
        (waiting,) = struct.unpack("i", answer)
        while sum(self._sizes) > waiting:
            self._sizes.popleft()
        return len(self._sizes)


def _pickled(message: Any) -> bytes:
    """Pickle a message; a result that cannot be becomes a failure of its task.

    Dropped, it would be repeated for ever.
    """
    try:
        return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        # Pickling runs code of the result: anything may be raised.
        if not isinstance(message, dict) or not message.get("success"):
            raise
        logger.error("A result cannot be pickled: %r", error)
        result = f"The result cannot be pickled: {error!r}"
        failed = message | {"success": False, "result": result}
        return pickle.dumps(failed, pickle.HIGHEST_PROTOCOL)
