"""The pytest fixture ``workflows``; found by pytest through an entry point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django_workflows.testing.tester import WorkflowTester


@pytest.fixture
def workflows(db: None) -> Iterator[WorkflowTester]:
    """A :class:`WorkflowTester` in the test's database.

    Inside a transaction that is rolled back, unless the test asks for
    `transactional_db` or has the mark `django_db(transaction=True)`.
    """
    # `db` has to be an argument: pytest-django sets up only databases that it sees
    # asked for before any test runs. It gives way to `transactional_db` by itself.
    from django_workflows.testing.tester import WorkflowTester

    with WorkflowTester() as tester:
        yield tester
