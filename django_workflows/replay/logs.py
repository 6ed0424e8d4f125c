"""Loggers are silent while workflow code replays: each line is logged once."""

from __future__ import annotations

import logging
from asyncio.events import _get_running_loop

from django_workflows.replay.loop import WorkflowLoop

_handle = logging.Logger.handle


def _handle_once(self: logging.Logger, record: logging.LogRecord) -> None:
    loop = _get_running_loop()
    if type(loop) is WorkflowLoop and loop.execution.is_silent:
        return
    _handle(self, record)


def install() -> None:
    """Put the check before every logger's handlers, once per process."""
    logging.Logger.handle = _handle_once  # type: ignore[method-assign]
