"""Runs workflows in a test's own process and database, without a cluster or waiting.

def test_order(workflows):
    workflows.mock_step(charge, return_value={"id": "ch_1"})
    assert workflows.run(process_order, 42)["status"] == "shipped"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_workflows.testing.tester import WorkflowTester

__all__ = ["WorkflowTester"]


def __getattr__(name: str) -> Any:
    # pytest loads the plugin beside this file before Django is set up.
    if name == "WorkflowTester":
        from django_workflows.testing.tester import WorkflowTester

        return WorkflowTester
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
