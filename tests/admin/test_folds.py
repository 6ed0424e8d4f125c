"""Long waits in the timeline, which are drawn short."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from django_workflows import sleep, start, step, workflow
from django_workflows.admin.run_page.folds import Folded, folded
from django_workflows.admin.run_page.geometry import Window
from django_workflows.testing import WorkflowTester
from tests.admin.panels import links, panel

DAY = 86_400.0


@step(name="folds.work")
def work(number: int) -> int:
    return number


@workflow(name="folds.patient")
async def patient() -> None:
    await work(1)
    await sleep("40s")
    await work(2)
    await sleep("3d")
    await work(3)
    await sleep("20s")
    await work(4)


def test_what_is_only_waited_is_folded() -> None:
    window = Window(0, 3 * DAY + 60)
    changes = [0, 40, 3 * DAY + 40, 3 * DAY + 60]
    axis = folded(window, changes, [(0, 1)])
    assert axis.folds == ((40.0, 3 * DAY + 40),)
    places = [axis.percent(time) for time in (*changes, 20)]
    assert places == pytest.approx([0, 62.67, 68.67, 100, 31.33], abs=0.01)
    [drawn] = axis.drawn()
    assert drawn["text"] == "3 d"
    assert drawn["width"] == "4.8%"


@pytest.mark.parametrize(
    ("length", "changes", "works"),
    [
        pytest.param(50, [1, 49], [], id="it is short"),
        pytest.param(3 * DAY, [10, DAY], [(9, DAY)], id="a step is at work"),
        pytest.param(1000, [200, 400], [(0, 200)], id="work is a good part"),
        pytest.param(3 * DAY, [], [], id="nothing would be left"),
        pytest.param(
            30 * DAY, [day * DAY for day in range(30)], [], id="many small waits"
        ),
        pytest.param(4 * DAY + 1, [1, DAY, 2 * DAY, 3 * DAY], [], id="four waits"),
    ],
)
def test_what_can_be_seen_to_scale_is_not_folded(
    length: float, changes: list[float], works: list[tuple[float, float]]
) -> None:
    assert folded(Window(0, length), changes, works).folds == ()


@given(st.lists(st.floats(0, 10 * DAY), max_size=30))
def test_places_follow_the_order_of_times(changes: list[float]) -> None:
    axis = folded(Window(0, 10 * DAY), changes, [])
    times = sorted({0, *changes, 10 * DAY})
    places = [axis.percent(time) for time in times]
    assert places[0] == 0
    assert places[-1] == pytest.approx(100)
    assert all(one <= other for one, other in pairwise(places))


def test_zooming_in_shows_the_middle_of_the_picture() -> None:
    whole = Window(0, 3 * DAY + 60)
    axis = Folded(0, whole.end, ((40.0, 3 * DAY + 40),))
    closer = axis.zoomed(0.5, whole)
    assert axis.percent(closer.begin) == pytest.approx(25)
    assert axis.percent(closer.end) == pytest.approx(75)
    assert axis.zoomed(2, whole) == whole


def test_ticks_leave_room_for_the_texts_of_folds() -> None:
    axis = Folded(0, 3 * DAY + 60, ((40.0, 3 * DAY + 40),))
    [fold] = axis.drawn()
    places = [float(tick.x[:-1]) for tick in axis.ticks()]
    assert len(places) > 2
    assert all(abs(one - other) >= 9 for one, other in pairwise(sorted(places)))
    assert all(abs(place - float(fold["middle"][:-1])) >= 25 for place in places)


@pytest.mark.django_db
def test_the_timeline_of_a_patient_run_shows_its_work(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(patient)
    workflows.run_until_idle()
    workflows.advance("40s")
    workflows.advance("3d")
    workflows.advance("20s")

    def begins(html: str) -> list[float]:
        bars = re.findall(r'class="dw-bar dw-bar-completed" x="([\d.]+)%"', html)
        return [float(x) for x in bars][1:]  # the first one is the run's

    html = panel(admin_client, run, "timeline")
    assert begins(html) == pytest.approx([0, 62.7, 68.7, 99.5], abs=0.1)
    assert "Long waits are drawn short." in html
    assert html.count('<use href="#dw-tl-folds"/>') == 8
    to_scale = links(html)["Draw to scale"]
    assert to_scale.startswith("?scale=true") or "?scale=true" in to_scale
    html = panel(admin_client, run, "timeline", scale="true")
    assert begins(html) == pytest.approx([0, 0, 99.5, 99.5], abs=0.1)
    assert "All times are drawn to scale." in html
    assert '<use href="#dw-tl-folds"/>' not in html
    assert "scale" not in links(html)["Draw long waits short"]
