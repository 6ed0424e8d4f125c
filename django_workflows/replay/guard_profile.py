"""The guard of Python 3.11: a profile function on the burst's own thread.

CPython removes a profile function that raises, so after a refusal the rest of the
burst runs unguarded; it is given up anyway.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from django_workflows.errors import WorkflowGuardError
from django_workflows.replay.guard_table import Table, show_numpy
from django_workflows.replay.guard_verdict import Burst, judge

logger = logging.getLogger("django_workflows")

_Profile = Callable[[FrameType, str, Any], None]

_table = Table()
_warned = False


class ProfileGuard:
    """See `django_workflows.replay.guard`.

    With a foreign profiler active (cProfile, say) bursts run unguarded, and a
    warning says so once per process.
    """

    __slots__ = ("_bursts", "_earlier", "_on_refusal", "_profile")

    def __init__(self, on_refusal: Callable[[WorkflowGuardError], None]) -> None:
        self._on_refusal = on_refusal
        self._bursts: list[Burst] = []
        self._earlier: list[Any] = []
        self._profile = _make_profile(self._bursts)

    def __enter__(self) -> None:
        if len(sys.modules) != _table.modules:
            _table.refresh()
            show_numpy(_table)
        self._bursts.append(Burst(self._on_refusal, sys._getframe(1)))
        earlier = sys.getprofile()
        self._earlier.append(earlier)
        if earlier is None or _is_ours(earlier):
            sys.setprofile(self._profile)
        else:
            _warn_once()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        earlier = self._earlier.pop()
        if earlier is None or _is_ours(earlier):
            sys.setprofile(earlier)
        self._bursts.pop()

    def pause(self) -> Any:
        """Stop guarding, for code that is known to be pure; see `unpause`."""
        profile = sys.getprofile()
        if profile is not self._profile:
            return None
        sys.setprofile(None)
        return profile

    def unpause(self, paused: Any) -> None:
        """Guard again, if `pause` stopped it; takes what that returned."""
        if paused is not None:
            sys.setprofile(paused)


def _make_profile(bursts: list[Burst]) -> _Profile:
    owners, owns = _table.owners, _table.owns
    codes, find_rule = _table.codes, _table.rule

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            try:
                if not owners[type(arg.__self__)]:
                    return
            except KeyError:
                if not owns(type(arg.__self__)):
                    return
            rule = find_rule(arg)
        elif event == "call":
            rule = codes.get(id(frame.f_code))
        else:
            return
        if rule is not None:
            judge(rule, frame, bursts[-1], entered=event == "call")

    return profile


def _is_ours(profiler: Any) -> bool:
    return getattr(profiler, "__module__", None) == __name__


def _warn_once() -> None:
    global _warned
    if not _warned:
        _warned = True
        logger.warning(
            "Another profiler is active: workflow code runs without the guard "
            "against I/O, clocks and randomness.",
            extra={"action": "guard_off"},
        )
