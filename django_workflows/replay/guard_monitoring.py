"""The guard of Python 3.12 and later: a tool of `sys.monitoring`.

A profile function would work here too, but each switching on and off makes the
interpreter walk the stacks of all threads (30 to 50 microseconds in a worker with
12 threads), and it is told of returns too. So the events stay on from the first
burst of a round to the last (`watching`), and only calls are asked for.

Events are the same for all threads; a call made outside of a burst is told apart
only once it is found in the table.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from threading import get_ident
from types import (
    BuiltinFunctionType,
    CodeType,
    MethodDescriptorType,
    TracebackType,
)
from typing import Any

from django_workflows.errors import WorkflowGuardError
from django_workflows.replay.guard_table import Rule, Table, show_numpy
from django_workflows.replay.guard_verdict import PACKAGE, Burst, judge

assert sys.version_info >= (3, 12)

_TOOLS = (4, 3)
"""Ids that Python gives to no kind of tool in particular."""

_TRUSTED = (
    PACKAGE,
    os.path.dirname(asyncio.__file__) + os.sep,
    os.path.dirname(json.__file__) + os.sep,
)
"""Where calls are not looked at; the functions called from there are."""

_table = Table()
_trusted_files: dict[str, bool] = {}
_bursts: dict[int, list[Burst]] = {}
"""The bursts under way, by thread."""
_lock = threading.Lock()
_watchers = 0


class MonitoringGuard:
    """See `django_workflows.replay.guard`. Other profilers are no hindrance."""

    __slots__ = ("_on_refusal",)

    def __init__(self, on_refusal: Callable[[WorkflowGuardError], None]) -> None:
        self._on_refusal = on_refusal

    def __enter__(self) -> None:
        if len(sys.modules) != _table.modules:
            _refresh()
        burst = Burst(self._on_refusal, sys._getframe(1))
        _bursts.setdefault(get_ident(), []).append(burst)
        watching.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        watching.__exit__()
        thread = get_ident()
        bursts = _bursts[thread]
        bursts.pop()
        if not bursts:
            del _bursts[thread]

    def pause(self) -> None:
        """Nothing: switching costs more than it would save."""

    def unpause(self, paused: None) -> None:
        """Nothing, as `pause`."""


class _Watching:
    """Keeps the events on. Reentrant, and shared by all threads."""

    def __enter__(self) -> None:
        global _watchers
        with _lock:
            _watchers += 1
            if _watchers == 1:
                sys.monitoring.set_events(_tool, sys.monitoring.events.CALL)

    def __exit__(self, *exc_info: object) -> None:
        global _watchers
        with _lock:
            _watchers -= 1
            if _watchers == 0:
                sys.monitoring.set_events(_tool, 0)


def _refresh() -> None:
    _table.refresh()
    show_numpy(_table)
    for code in _table.watched_code():
        sys.monitoring.set_local_events(_tool, code, sys.monitoring.events.PY_START)


def _on_call(code: CodeType, offset: int, function: Any, first: Any) -> object:
    trusted = _trusted_files.get(code.co_filename)
    if trusted or (trusted is None and _is_trusted(code.co_filename)):
        # This place in the code is not asked about again in this round.
        return sys.monitoring.DISABLE
    kind = type(function)
    rule = None
    if kind is BuiltinFunctionType:
        owner = type(function.__self__)
        watched = _owners.get(owner)
        if watched or (watched is None and _owns(owner)):
            rule = _find_rule(function)
    elif kind is MethodDescriptorType and function in _descriptors:
        rule = _find_rule(function.__get__(first))
    if rule is not None:
        _judge(rule, entered=False)
    return None


def _is_trusted(filename: str) -> bool:
    """Whether a file's own calls need no watching (what it calls is watched)."""
    trusted = _trusted_files[filename] = filename.startswith(_TRUSTED)
    return trusted


def _on_start(code: CodeType, offset: int) -> None:
    rule = _table.codes.get(id(code))
    if rule is not None:
        _judge(rule, entered=True)


def _judge(rule: Rule, *, entered: bool) -> None:
    bursts = _bursts.get(get_ident())
    if bursts:
        judge(rule, sys._getframe(2), bursts[-1], entered=entered)


def _take_tool() -> int:
    """Raises RuntimeError if other tools have taken all the ids."""
    for tool in _TOOLS:
        if sys.monitoring.get_tool(tool) is None:
            sys.monitoring.use_tool_id(tool, "django_workflows")
            return tool
    raise RuntimeError("no tool id of sys.monitoring is free")


_owners, _owns, _find_rule = _table.owners, _table.owns, _table.rule
_descriptors = _table.descriptors
_tool = _take_tool()
sys.monitoring.register_callback(_tool, sys.monitoring.events.CALL, _on_call)
sys.monitoring.register_callback(_tool, sys.monitoring.events.PY_START, _on_start)
watching = _Watching()
