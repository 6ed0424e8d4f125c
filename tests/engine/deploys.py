"""Deploys within one test: other workflows are registered, another worker begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import Registry, registry
from django_workflows.testing import WorkflowTester

Code = Callable[..., Any]


class Deploys:
    """Puts sets of workflows in the place of each other."""

    def __init__(self, workflows: WorkflowTester) -> None:
        self._workflows = workflows

    def __call__(self, *definitions: Callable[[], Workflow[..., Any]]) -> list[Any]:
        """From now on these are all the workflows that there are, for a new worker.

        Each is a function that makes one, as an import of its module would. Steps stay.
        """
        vars(registry).update(vars(Registry()) | {"_steps": registry._steps})
        made = [define() for define in definitions]
        self._workflows.crash()
        return made


@pytest.fixture
def deploy(workflows: WorkflowTester) -> Iterator[Deploys]:
    before = dict(vars(registry))
    yield Deploys(workflows)
    vars(registry).update(before)
