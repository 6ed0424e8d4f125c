"""What happens when a watched call is about to be made in a burst.

What a call is made *for* decides too: logging reads the clock and imports read
files, so a call is only refused when no frame between it and the burst belongs to
those modules. All of this is looked at only for calls that are in the table.
"""

from __future__ import annotations

import dis
import gc
import linecache
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType

from django_workflows.errors import WorkflowGuardError
from django_workflows.replay.guard_table import Rule

_OURS = __name__.partition(".")[0]
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB = os.path.dirname(os.__file__) + os.sep
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

_EXEMPT = frozenset(
    (
        # Messages carry the time; imports read files; tracebacks read sources.
        "logging",
        "traceback",
        "linecache",
        "warnings",
        "importlib",
        "_frozen_importlib",
        "_frozen_importlib_external",
        "zipimport",
        "structlog",
        "loguru",
        "opentelemetry",
        "sentry_sdk",
        # Tables that are read from files at their first use.
        "zoneinfo",
        "gettext",
        "pytz",
        # A workflow may be stepped through and looked at.
        "bdb",
        "pdb",
        "inspect",
        # Finalizers of whatever the collector finds during the burst.
        "weakref",
    )
)
"""Packages below whose frames everything is allowed."""
_EXEMPT_MODULES = ("django.utils.translation", "dateutil.tz")


@dataclass(slots=True)
class Burst:
    """One burst that is being guarded."""

    on_refusal: Callable[[WorkflowGuardError], None]
    base: FrameType
    """The frame that runs it; its callers are none of the burst's business."""


def judge(rule: Rule, frame: FrameType, burst: Burst, *, entered: bool) -> None:
    """Raise WorkflowGuardError, after `on_refusal`, unless the call is allowed.

    `frame` makes the call, or with `entered` is the watched function's own.
    """
    if not _is_harmless(rule, frame) and not _is_exempt(frame, burst.base):
        error = _refusal(rule, frame, burst.base, entered)
        burst.on_refusal(error)
        raise error


def user_frame(frame: FrameType, base: FrameType | None = None) -> FrameType:
    """The nearest caller, up to `base`, whose code is the user's; else `frame`."""
    caller: FrameType | None = frame
    while caller is not None:
        if _is_user_file(caller.f_code.co_filename):
            return caller
        caller = None if caller is base else caller.f_back
    return frame


def _is_harmless(rule: Rule, frame: FrameType) -> bool:
    """The call's own arguments make it pure."""
    if rule.needs_none is not None:
        return frame.f_locals.get(rule.needs_none) is not None
    if rule.pure_with is not None:
        # A C call's arguments can't be seen, but their number stands in the
        # caller's bytecode.
        code = frame.f_code.co_code
        name = dis.opname[code[frame.f_lasti]]
        if name in ("CALL", "PRECALL", "CALL_KW"):
            return code[frame.f_lasti + 1] >= rule.pure_with
        return True
    return False


def _is_exempt(frame: FrameType, base: FrameType) -> bool:
    """The call serves logging, an import or the like, or is not the workflow's at
    all: the interpreter runs finalizers and handlers in the middle of anything."""
    codes = []
    caller: FrameType | None = frame
    while caller is not None and caller is not base:
        module = str(caller.f_globals.get("__name__"))
        if module.partition(".")[0] in _EXEMPT or module.startswith(_EXEMPT_MODULES):
            return True
        codes.append(caller.f_code)
        caller = caller.f_back
    if any(code.co_name == "__del__" for code in codes):
        return True
    return not _interrupting_code().isdisjoint(codes)


def _interrupting_code() -> set[CodeType]:
    """The code of signal handlers and of the collector's callbacks."""
    handlers = map(signal.getsignal, signal.valid_signals())
    return {
        code
        for function in (*handlers, *gc.callbacks)
        if isinstance(code := getattr(function, "__code__", None), CodeType)
    }


def _is_user_file(filename: str) -> bool:
    if filename.startswith(("<frozen", PACKAGE)):
        return False
    if any(part in filename for part in _LIBRARIES):
        return False
    return not filename.startswith(_STDLIB)


def _refusal(
    rule: Rule, frame: FrameType, base: FrameType, entered: bool
) -> WorkflowGuardError:
    user = user_frame(frame, base)
    filename, line = user.f_code.co_filename, user.f_lineno
    through = _library_call(frame, user, entered)
    by = f", by way of {through}," if through and through not in rule.call else ""
    call, fix = rule.call, rule.fix
    if through and through.startswith(f"{_OURS}."):
        # What of this package does I/O: what it does that by is none of the user's.
        call, by = through.rpartition(".")[2], ""
        fix = "Move this into a @step."
        if call in ("start()", "start_many()"):
            fix = "Use start_child(), or move this into a @step."
    elif by and "@step" not in fix:
        fix = f"{fix} Or move this into a @step."
    source = linecache.getline(filename, line).strip()
    shown = f" (`{source}`)" if source else ""
    return WorkflowGuardError(
        f"{call}{by} was called in workflow code at {filename}:{line}{shown}. "
        "Workflow code is run again to continue a run, so it may not do I/O, block, "
        f"or read clocks or randomness. {fix}",
        file=filename,
        line=line,
    )


def _library_call(frame: FrameType, user: FrameType, entered: bool) -> str | None:
    """The public function that the user's line called, if that is not the
    refused one itself."""
    called: FrameType | None = None
    caller: FrameType | None = frame
    while caller is not None and caller is not user:
        called, caller = caller, caller.f_back
    if called is None or caller is None or (entered and called is frame):
        return None
    module = called.f_globals.get("__name__", "?")
    name = called.f_code.co_qualname.removesuffix(".__init__")
    if module == "random":
        name = name.removeprefix("Random.")
    return None if "<" in name else f"{module}.{name}()"
