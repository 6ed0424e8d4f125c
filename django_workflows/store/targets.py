"""What a schedule starts: the one place where its `workflow` is looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from django.utils import timezone

from django_workflows.models import Run
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import registry
from django_workflows.replay.starts import prepare
from django_workflows.store.launching import start

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Target(Protocol):
    """Something that can be started by its name."""

    #: "workflow" for what only processes can start that have its code.
    kind: str

    def check(self, call: Arguments) -> None:
        """Raise TypeError, ValueError or WorkflowError for arguments that don't fit."""

    def start(self, call: Arguments, options: Mapping[str, Any]) -> Run:
        """Start a run with options of ``Workflow.options``."""


class WorkflowTarget:
    """A workflow that this process knows."""

    kind = "workflow"

    def __init__(self, workflow: Workflow[..., Any]) -> None:
        self._workflow = workflow

    def check(self, call: Arguments) -> None:
        args, kwargs = call
        self._workflow.require_async()
        prepare(self._workflow, args, kwargs, timezone.now())

    def start(self, call: Arguments, options: Mapping[str, Any]) -> Run:
        args, kwargs = call
        attributes = {**self._workflow.settings.attributes, **options["attributes"]}
        configured = self._workflow.options(**{**options, "attributes": attributes})
        return start(configured, *args, **kwargs)


def _find_workflow(name: str) -> Target | None:
    found = registry.find_workflow(name)
    return None if found is None else WorkflowTarget(found)


#: Asked one after the other, the first answer counts.
finders: list[Callable[[str], Target | None]] = [_find_workflow]


def find_target(name: str) -> Target | None:
    """What goes by this name; None if this process knows nothing of it."""
    for find in finders:
        target = find(name)
        if target is not None:
            return target
    return None


def known_workflows() -> tuple[str, ...]:
    """All names of workflows that this process could start."""
    names = dict.fromkeys(name for name, _ in registry.workflow_keys())
    return tuple(names) or ("",)
