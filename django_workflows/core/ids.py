"""Ids: a prefix and 26 characters of Crockford's base 32."""

from __future__ import annotations

import hashlib
import os
import threading
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_SHIFTS = tuple(range(120, -1, -10))


class _UlidSource:
    """Makes ULIDs (48 bits of milliseconds, 80 random ones) that only grow."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last id; a forked child must not continue its parent's."""
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        fresh = time.time_ns() // 1_000_000 << 80
        with self._lock:
            if fresh >> 80 > self._last >> 80:
                # The top random bit stays clear, as room to count upwards in.
                fresh |= int.from_bytes(os.urandom(10), "big") >> 1
                self._last = fresh
            else:
                self._last += 1
            return self._last


_ulids = _UlidSource()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ulids.reset)


def new_id(prefix: str) -> str:
    """A new id: ``prefix_`` and a ULID. Later ids of one process sort later."""
    return f"{prefix}_{_base32(_ulids.next())}"


def derive_id(prefix: str, *parts: str | int) -> str:
    """The id that belongs to ``parts``: the same for the same parts, for ever."""
    digest = hashlib.sha256()
    for part in parts:
        text = str(part).encode("utf-8", "surrogatepass")
        # With its length before it no part can run into the next one.
        digest.update(b"%d:%b" % (len(text), text))
    return f"{prefix}_{_base32(int.from_bytes(digest.digest()[:16], 'big'))}"


def timed_id(prefix: str, milliseconds: int, number: int, secret: bytes) -> str:
    """A ULID of this time (since the epoch), then in the order of `number`; the rest
    of it is the secret's."""
    tail = (number & 0xFFFFFF) << 56 | int.from_bytes(secret[:7], "big")
    return f"{prefix}_{_base32(milliseconds << 80 | tail)}"


def is_possible_id(text: str) -> bool:
    """Whether a database could hold this as an id; it need not be asked for others."""
    return text.isascii() and "\0" not in text


def _base32(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
