"""What the engine says of an event in `Event.detail`: an object in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django_workflows.errors import SerializationError

UNREADABLE = "unreadable"
"""The name under which people are shown what cannot be read, as the text it is."""

#: Microseconds since the epoch until the end of the calendar, less a day for zones.
_LAST_US = 253_402_214_400_000_000


def read_details(text: str) -> dict[str, Any]:
    """The details in a row. Raises SerializationError for what is no object in JSON."""
    try:
        details = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise SerializationError(
            f"damaged log: the details of an event are no JSON ({error})"
        ) from error
    if type(details) is not dict:
        raise SerializationError("damaged log: the details of an event are no object")
    return details


def show_object(text: str) -> dict[str, Any]:
    """An object in JSON for people: never raises. What is none stands as a whole under
    `UNREADABLE`."""
    try:
        return read_details(text)
    except SerializationError:
        return {UNREADABLE: text}


def as_object(value: Any) -> dict[str, Any]:
    """What should be an object in JSON data, for people: what is none stands as it is
    under `UNREADABLE`."""
    return value if isinstance(value, dict) else {UNREADABLE: value}


def show_details(text: str) -> dict[str, Any]:
    """The details in a row for people: never raises, and what is known to have a type
    has it.

    What the engine cannot have written stands as a whole under `UNREADABLE`.
    """
    details = show_object(text)
    for name, value in details.items():
        is_right = _CHECKS.get(name)
        if is_right is not None and not is_right(value):
            return {UNREADABLE: text}
    return details


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_number(value: Any) -> bool:
    return isinstance(value, int)


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= _LAST_US


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list_of_ids(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_id, value))


#: What people are shown more of than what it says.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("name", "title", "kind", "reason"), _is_text),
    **dict.fromkeys(("worker", "token", "by", "way"), _is_text),
    **dict.fromkeys(("run_id", "replayed_from"), _is_id),
    **dict.fromkeys(("forked_from", "changed_from"), _is_id),
    **dict.fromkeys(("attempt", "cut"), _is_number),
    **dict.fromkeys(("due", "retry_at", "cut_at"), _is_time),
    **dict.fromkeys(("wake_at", "queued_at"), _is_time),
    **dict.fromkeys(("attributes", "webhook"), _is_object),
    "failed": _is_list_of_ids,
}
