"""Steps for the tests of replay."""

from __future__ import annotations

from typing import Any

from django_workflows.replay.definitions import step


@step
def echo(value: Any) -> Any:
    return value


@step
def undo(value: Any) -> Any:
    return value


@step
def boom(message: str) -> None:
    raise ValueError(message)
