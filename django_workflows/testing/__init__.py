"""Runs workflows in a test's own process and database, without a cluster or waiting.

def test_order(workflows):
    workflows.mock_step(charge, return_value={"id": "ch_1"})
    assert workflows.run(process_order, 42)["status"] == "shipped"
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_workflows.store.checking import Broken, ReplayReport, check_replay
    from django_workflows.store.exports import export_history
    from django_workflows.testing.tester import WorkflowTester

_HOMES = {
    "Broken": "store.checking",
    "ReplayReport": "store.checking",
    "WorkflowTester": "testing.tester",
    "check_replay": "store.checking",
    "export_history": "store.exports",
}

__all__ = [
    "Broken",
    "ReplayReport",
    "WorkflowTester",
    "check_replay",
    "export_history",
]


def __getattr__(name: str) -> Any:
    # pytest loads the plugin beside this file before Django is set up.
    if name in _HOMES:
        return getattr(import_module(f"django_workflows.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
