"""Finds for each command that code issues the one that the log recorded for it.

Within one burst the recorded commands are a multiset: a command takes the recorded
one of the same kind, name and arguments, the n-th of equal ones in order. So neither
the order of a set nor an interpreter that starts tasks differently hands a result to
the wrong call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from django_workflows.core.serialization import (
    canonical,
    dumps,
    dumps_call,
    loads,
    loads_call,
)
from django_workflows.errors import SerializationError, UnknownCodeError
from django_workflows.replay.events import (
    CHILD_CREATED,
    HOOK_CONFLICT,
    HOOK_CREATED,
    STEP_CREATED,
    LogEvent,
)
from django_workflows.replay.registry import registry

Key = tuple[str, str, bytes | None]


def command_key(event: LogEvent) -> Key:
    """What must be equal for a recorded command to be the issued one."""
    kind = HOOK_CREATED if event.type == HOOK_CONFLICT else event.type
    name = event.detail.get("name", event.correlation_id)
    if kind == CHILD_CREATED:
        # Recorded under a name that may have become an alias since.
        name = registry.current_name(name)
    # How a webhook answers may change with the code, as its other facts may.
    return (kind, name, None if "webhook" in event.detail else event.payload)


class RecordedCommands:
    """The commands recorded in one burst, taken one by one.

    In what a fork has copied arguments and tokens may hold what is another run's own:
    there they need not be equal (`is_loose`).
    """

    def __init__(
        self, events: Iterable[LogEvent] = (), *, is_loose: bool = False
    ) -> None:
        self._is_loose = is_loose
        self._by_key: dict[Key, deque[LogEvent]] = {}
        self._left: dict[int, LogEvent] = {}
        for event in events:
            self._by_key.setdefault(command_key(event), deque()).append(event)
            self._left[id(event)] = event

    def __bool__(self) -> bool:
        return bool(self._left)

    def left(self) -> list[LogEvent]:
        return list(self._left.values())

    def take(self, issued: LogEvent) -> LogEvent | None:
        """The recorded command for this one, or None if there is none."""
        key = command_key(issued)
        waiting = self._by_key.get(key)
        if not waiting:
            waiting = self._same_meaning(key)
        if not waiting and self._is_loose:
            waiting = self._same_name(key)
        if not waiting:
            return None
        found = waiting.popleft()
        del self._left[id(found)]
        return found

    def _same_name(self, key: Key) -> deque[LogEvent] | None:
        """The first ones left of the same kind and name; a hook's is its token."""
        kind, name, _ = key
        kinds = [(k[1], left) for k, left in self._by_key.items() if k[0] == kind]
        found = [left for other, left in kinds if left and other == name]
        if kind == HOOK_CREATED:
            found = found or [left for _, left in kinds if left]
        return min(found, key=lambda left: left[0].seq or 0, default=None)

    def _same_meaning(self, key: Key) -> deque[LogEvent] | None:
        """Equal once both are read and written with today's code.

        A model with a new field that has a default, for example, encodes differently
        since the deploy and still means the same.
        """
        kind, name, payload = key
        if payload is None:
            return None
        meaning = canonical(payload)
        for (other_kind, other_name, other_payload), events in self._by_key.items():
            if (
                events
                and (other_kind, other_name) == (kind, name)
                and other_payload is not None
                and (
                    canonical(other_payload) == meaning
                    or _written_today(kind, other_payload) == meaning
                )
            ):
                return events
        return None


def _written_today(kind: str, payload: bytes) -> bytes | None:
    """The canonical form of a recorded value as today's code encodes it."""
    try:
        if kind in (STEP_CREATED, CHILD_CREATED):
            return canonical(dumps_call(*loads_call(payload)))
        return canonical(dumps(loads(payload)))
    except (SerializationError, UnknownCodeError):
        return None  # of a type that is gone, so not what the code issues today
