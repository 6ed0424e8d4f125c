"""Who is taken for dead: only who was silent while somebody was really looking."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_workflows.store import sweep
from tests.clocks import HandClock, clock_by_hand

LEASE = 12.0


@pytest.fixture
def clock() -> Iterator[HandClock]:
    with clock_by_hand(sweep) as clock:
        yield clock


@pytest.mark.parametrize("gap", [0.5, 1.0, 3.0])
def test_silence_of_a_whole_lease_is_death(clock: HandClock, gap: float) -> None:
    watch = sweep.DeadWatch()
    began = clock.now
    while not (silent := watch.observe({"dead": 7, "alive": int(clock.now)}, LEASE)):
        clock.now += gap
        assert clock.now - began < 2 * LEASE
    assert silent == {"dead"}
    assert clock.now - began >= LEASE


def test_looks_that_are_far_between_come_to_an_end_too(clock: HandClock) -> None:
    watch = sweep.DeadWatch()
    looks = 1
    while not watch.observe({"dead": 7}, LEASE):
        clock.now += LEASE
        looks += 1
    assert looks == 5


def test_outage_kills_nobody(clock: HandClock) -> None:
    """For longer than a lease nobody could look, nor give a sign of life."""
    watch = sweep.DeadWatch()
    beat = 0
    for _ in range(5):
        for _ in range(20):
            beat += 1
            assert not watch.observe({"alive": beat}, LEASE)
            clock.now += 0.5
        clock.now += 10 * LEASE
        for _ in range(4):  # the worker needs a moment to find the database again
            assert not watch.observe({"alive": beat}, LEASE)
            clock.now += 0.5


def test_worker_that_was_not_there_is_watched_from_the_start(clock: HandClock) -> None:
    watch = sweep.DeadWatch()
    watch.observe({}, LEASE)
    clock.now += 100 * LEASE
    assert not watch.observe({"new": 0}, LEASE)
