"""Who owns a run, and until when."""

from __future__ import annotations

import pytest

from django_workflows import start
from tests.faults import workflows
from tests.faults.driver import World

pytestmark = pytest.mark.django_db(transaction=True)


def test_closed_run_has_no_owner() -> None:
    """Else each look joins all runs a worker ever had, and its death changes them."""
    with World() as world:
        run = start(workflows.short, "a")
        world.run(run)
    run.refresh_from_db()
    assert run.owner == ""
    assert run.wake_at is None
