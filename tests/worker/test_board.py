"""The notice board tells processes of each other and forgets the dead."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import pytest

from django_workflows.worker.q2 import board as board_module
from django_workflows.worker.q2.board import IDLE, MAX_FLIGHT, Board
from tests.clocks import clock_by_hand

fork = multiprocessing.get_context("fork")


@pytest.fixture
def board() -> Board:
    return Board()


def _in_child(target: Callable[..., Any], *args: Any) -> None:
    process = fork.Process(target=target, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_flags_are_seen_by_all_processes(board: Board) -> None:
    assert not board.stop.is_set()
    _in_child(board.stop.set)
    assert board.stop.is_set()
    assert not board.started.is_set()


def test_tickets_are_counted_and_given_back(board: Board) -> None:
    assert board.reactors(2) == (0, 0)
    first, second = board.issue_ticket(2), board.issue_ticket(2)
    assert (first, second) == (0, 1)
    assert board.issue_ticket(2) is None
    assert board.reactors(2) == (0, 2)
    board.begin_work(0)
    assert board.reactors(2) == (1, 1)
    board.end_work(0)
    assert board.reactors(2) == (0, 1)
    board.forget_queued()
    assert board.reactors(2) == (0, 0)


def test_ticket_of_a_dead_worker_is_free_again(board: Board) -> None:
    board.issue_ticket(2)
    _in_child(board.begin_work, 0)
    assert board.reactors(2) == (0, 0)
    assert board.issue_ticket(2) == 0


def test_late_worker_cannot_give_back_the_ticket_of_another(board: Board) -> None:
    """A package was taken for lost, its ticket issued again, and then it ran."""
    board.issue_ticket(1)
    board.begin_work(0)
    _in_child(board.end_work, 0)
    assert board.reactors(1) == (1, 0)


def test_begun_work_is_no_longer_due(board: Board) -> None:
    board.due_since = 5.0
    board.issue_ticket(1)
    assert board.due_since == 5.0
    board.begin_work(0)
    assert board.due_since == 0.0


def test_tasks_in_flight_are_followed(board: Board) -> None:
    board.take_off([1, 2, 3])
    board.take_off([2])
    board.touch_down(2)
    board.land(3)
    assert board.unfinished() == {1}
    assert board.executed() == {2}
    board.take_off([2])  # delivered once more
    assert board.unfinished() == {1, 2}
    assert board.executed() == set()
    board.land(9)


def test_more_tasks_than_cells_are_not_followed(board: Board) -> None:
    board.take_off(range(1, MAX_FLIGHT + 100))
    assert len(board.unfinished()) == MAX_FLIGHT


def test_time_limit_of_a_worker_runs_by_itself(board: Board) -> None:
    state = board.worker(3)
    assert (state.value, state.overdue) == (-1, False)
    with clock_by_hand(board_module) as clock:
        state.value = 100
        clock.advance(1)
        assert state.value == 99
        with state.get_lock():
            state.value += 3
        assert (state.value, state.overdue) == (102, False)
        clock.advance(103)
        assert (state.value, state.overdue, state.is_leaving) == (0, True, False)
    state.value = -2
    assert (state.overdue, state.is_leaving) == (False, True)
    state.task = 7
    assert board.worker(3).task == IDLE


def test_grace_is_what_is_left_of_the_drain(board: Board) -> None:
    assert board.grace_left(30.0) == 30.0
    with clock_by_hand(board_module) as clock:
        board.begin_drain(5.0)
        clock.advance(1)
        assert board.grace_left(30.0) == 4.0
        clock.advance(5)
        assert board.grace_left(30.0) == 0.0


def test_pids_of_children_are_listed(board: Board) -> None:
    board.pids = [11, 12, 13]
    board.pids = [12]
    assert board.pids == [12]
