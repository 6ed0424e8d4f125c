"""Attributes are stored in the transaction of the events that set them."""

from __future__ import annotations

import pytest

from django_workflows import create_hook, resume_hook, set_attributes, start, workflow
from django_workflows.models import Run
from tests.faults import checks
from tests.faults.driver import Crash, World
from tests.faults.sampling import sample

pytestmark = pytest.mark.django_db(transaction=True)


@workflow(name="faults.labelled")
async def labelled(number: int) -> int:
    """Sets attributes alone, beside a claim, and at its end."""
    set_attributes(number=number, stage=["first"])
    hook = create_hook(token=f"labelled {number}")
    set_attributes(stage="waits", answered=False)
    await hook
    set_attributes(answered=True, stage=None)
    return number


def agree(*runs: Run) -> None:
    """The column holds what the stored log says."""
    for run in Run.objects.filter(pk__in=[each.pk for each in runs]):
        told: dict[str, object] = {}
        for event in run.history():
            if event.type == "attributes_set":
                told |= event.data["attributes"]
        assert run.attributes == {k: v for k, v in told.items() if v is not None}


def test_attributes_and_log_agree_whatever_crashes() -> None:
    counted = _label(-1, Crash())
    for number in sample(len(counted.passed), 8):
        _label(number, Crash(number))


def _label(number: int, crash: Crash) -> Crash:
    with World() as world:
        world.on_point = crash
        run = start(labelled, number)
        world.idle()
        agree(run)
        resume_hook(f"labelled {number}", None)
        world.run(run)
    agree(run)
    run.refresh_from_db()
    assert run.attributes == {"number": number, "answered": True}
    checks.check_log(run)
    checks.check_replays(run)
    return crash


def test_many_runs_set_attributes_in_one_round() -> None:
    with World() as world:
        runs = [start(labelled, 1000 + number) for number in range(20)]
        world.idle()
        assert Run.objects.filter(attributes__stage="waits").count() == 20
        for run in runs:
            resume_hook(f"labelled {run.args[0]}", None)
        world.run(*runs)
    assert Run.objects.filter(attributes__answered=True).count() == 20
    assert Run.objects.get(attributes__number=1007) == runs[7]
    agree(*runs)
