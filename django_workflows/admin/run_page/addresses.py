"""Links of the page to itself: each panel keeps its state in the query of the URL."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from django.http import HttpRequest

#: Parameters by which the event log is narrowed, and turned over.
EVENTS_PARAMETERS = ("type", "of", "after", "before")


class Address:
    """The page as it is now, but for some parameters: for many links that differ in
    nothing else."""

    def __init__(self, request: HttpRequest, anchor: str, *changing: str) -> None:
        query = request.GET.copy()
        for name in changing:
            query.pop(name, None)
        self._path, self._kept, self._anchor = request.path, query.urlencode(), anchor

    def to(self, anchor: str = "", /, **values: object) -> str:
        """The link with these values of parameters; those that are None have none."""
        given = {name: value for name, value in values.items() if value is not None}
        query = "&".join(filter(None, (self._kept, urlencode(given))))
        return f"{self._path}?{query}#{anchor or self._anchor}"


def address(request: HttpRequest, anchor: str, **changes: object) -> str:
    """The page as it is now, but for these parameters: None takes one away."""
    return Address(request, anchor, *changes).to(**changes)


def step_addresses(request: HttpRequest) -> Callable[[str], str]:
    """For ids of steps the page with that step unfolded."""
    page = Address(request, "steps", "step", "steps", "show")
    return lambda step_id: page.to(f"step-{step_id}", step=step_id)


def events_addresses(request: HttpRequest) -> Callable[[str], str]:
    """For ids of steps, timers, hooks and children the page with their events."""
    page = Address(request, "events", *EVENTS_PARAMETERS)
    return lambda correlation_id: page.to(of=correlation_id)
