"""Workers go on, whatever is in the rows of some runs and schedules."""

from __future__ import annotations

import pytest
from django.db import models

from django_workflows import create_schedule, start
from django_workflows.models import Event, Hook, Limit, Run, Schedule, Step
from tests.faults import workflows
from tests.faults.damage import damage_rows, spread
from tests.faults.driver import World

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

#: Of each kind: more than can happen to one.
_ROWS = 130


@pytest.mark.parametrize("model", [Run, Event, Step, Hook, Schedule, Limit])
def test_damaged_rows_hold_up_no_other_run(model: type[models.Model]) -> None:
    limited = workflows.short.options(rate_limit="100/s")
    with World() as world:
        start(limited, "first")
        for number in range(_ROWS):
            start(workflows.listener, f"a{number}", 1)
            start(workflows.elsewhere, f"b{number}")
            create_schedule(f"s{number}", workflows.short, args=["d"], interval="1h")
        world.idle()
        for number, damages in enumerate(spread(model)):
            done = damage_rows(
                model, [each for each in damages if not _is_end(each[0])]
            )
            world.pass_time(7200)
            for node in world.nodes:
                node.reactor.queues = ("default", "elsewhere")
            other = start(limited, f"other{number}")
            world.run(other)
            assert world.failures == [], done
            assert world.deaths == 0, done
            assert other.result() == [1, 5, 2]


def test_attempts_that_cannot_be_counted_on_fail_their_run_alone() -> None:
    with World() as world:
        runs = [start(workflows.elsewhere, f"{number}") for number in range(3)]
        world.idle()
        steps = Step.objects.filter(status="pending")
        steps.filter(run=runs[0]).update(attempt=2**31 - 1)
        steps.filter(run=runs[1]).update(errors=2**31 - 1, crashes=2**31 - 1)
        for node in world.nodes:
            node.reactor.queues = ("default", "elsewhere")
        world.pass_time(7200)
        world.run(*runs)
        assert world.failures == []
        for run in runs:
            run.refresh_from_db()
        assert [run.status for run in runs] == ["failed", "completed", "completed"]
        assert "cannot be tried again" in str(runs[0].error)
        assert steps.count() == 0


def _is_end(what: str) -> bool:
    """Whether a number is the last that the column takes: that nothing can be counted
    on from there is for the database to say."""
    return what.endswith((str(2**31 - 1), str(2**63 - 1)))
