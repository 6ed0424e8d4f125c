"""The database fails at any statement, before or after it has done what was asked."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.utils import OperationalError

from django_workflows import start
from tests.databases import cut_off
from tests.faults import checks, workflows
from tests.faults.driver import Crash, Node, World
from tests.faults.sampling import sample

pytestmark = pytest.mark.django_db(transaction=True)


class Fail:
    """Makes the database fail at the point numbered `at`, once."""

    def __init__(self, at: int, *, lose_connection: bool) -> None:
        self._at = at
        self._lose_connection = lose_connection
        self._passed = 0
        self._committing = False
        #: The point at which it failed, and whether that was within a round's commit.
        self.failed = ""
        self.in_commit = False

    def __call__(self, node: Node, name: str) -> None:
        number, self._passed = self._passed, self._passed + 1
        if name == "before commit":
            self._committing = True
        committing = self._committing
        if name == "after commit":
            self._committing = False
        if number < self._at or self.failed or not name.startswith(("before", "after")):
            return
        if name.split()[1] in ("body", "let_go", "report"):
            return  # nothing of the database
        self.failed, self.in_commit = name, committing
        if self._lose_connection and node.database.connection is not None:
            cut_off(node.database)
        raise OperationalError("on purpose")


@pytest.mark.parametrize("lose_connection", [False, True], ids=["error", "lost"])
@pytest.mark.parametrize("short_slices", [False, True], ids=["long", "short"])
def test_database_fails_at_each_point(
    short_slices: bool, lose_connection: bool
) -> None:
    if lose_connection and connection.vendor == "sqlite":
        pytest.skip("there is no connection to lose")
    with World(short_slices=short_slices) as world:
        world.on_point = counted = Crash()
        world.answers["good/approval"] = ["approved"]
        run = start(workflows.everything, "good")
        world.run(run)
        good = checks.shape(run)
        for number in sample(len(counted.passed), 160):
            account = f"failure{number}"
            world.answers[f"{account}/approval"] = ["approved"]
            world.failures.clear()
            run = start(workflows.everything, account)
            world.on_point = fail = Fail(number, lose_connection=lose_connection)
            world.run(run)
            if not fail.failed:
                break
            assert not (fail.in_commit and world.failures), fail.failed
            assert run.result() == workflows.RESULT, fail.failed
            checks.check_log(run)
            checks.check_effects(run, account, workflows.BOOKED)
            checks.check_replays(run)
            assert checks.shape(run) == good
