from __future__ import annotations

from example_project.shop.demo.chaos import PAUSE, PLAN, Chaos


def make_chaos() -> Chaos:
    return Chaos(lambda: "a worker", lambda: "a cluster")


def test_chaos_waits_for_the_orders_to_get_on() -> None:
    assert make_chaos().turn(0.0, now=100.0) is None


def test_chaos_pauses_between_kills() -> None:
    chaos = make_chaos()
    assert chaos.turn(1.0, now=100.0) == "a worker"
    assert chaos.turn(1.0, now=100.0 + PAUSE / 2) is None
    assert chaos.turn(1.0, now=100.0 + PAUSE) == "a cluster"


def test_chaos_ends_with_its_plan() -> None:
    chaos = make_chaos()
    for turn in range(20):
        chaos.turn(1.0, now=turn * PAUSE)
    assert len(chaos.killed) == len(PLAN)


def test_chaos_tries_again_when_there_was_nothing_to_kill() -> None:
    victims = iter([None, "a worker"])
    chaos = Chaos(lambda: next(victims), lambda: None)
    assert chaos.turn(0.1, now=1.0) is None
    assert chaos.turn(0.1, now=1.1) == "a worker"
    assert chaos.killed == ["a worker"]
