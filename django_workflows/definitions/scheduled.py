"""Definitions as what schedules start."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from django_workflows.definitions import executions, storing
from django_workflows.definitions.interpreter import run_definition
from django_workflows.models import Run
from django_workflows.replay.starts import prepare
from django_workflows.store import targets
from django_workflows.store.targets import Arguments, Target

#: What a schedule's `args` and `kwargs` are taken for.
_SIGNATURE = inspect.Signature(
    [inspect.Parameter("input", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)]
)


class DefinitionTarget:
    """A definition, which every process can start in its newest version."""

    kind = "definition"

    def __init__(self, definition_id: str) -> None:
        self._id = definition_id

    def check(self, call: Arguments) -> None:
        # Of a class there is a row from now on, for processes that do not have it.
        definition = storing.stored(self._id)
        assert definition is not None
        given = (definition.id, definition.content(), _input(call))
        prepare(run_definition, given, {}, timezone.now())

    def start(self, call: Arguments, options: Mapping[str, Any]) -> Run:
        return executions.start(self._id, _input(call), **options)


def _input(call: Arguments) -> Any:
    """The input in a schedule's arguments. Raises TypeError for any others."""
    bound = _SIGNATURE.bind(*call[0], **call[1])
    return bound.arguments.get("input")


def _find(name: str) -> Target | None:
    known = storing.get_definition(name)
    return None if known is None else DefinitionTarget(name)


def install() -> None:
    """Let schedules start definitions."""
    if _find not in targets.finders:
        targets.finders.append(_find)
