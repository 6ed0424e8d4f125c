"""What must hold for a run, whatever has happened to its workers."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from django_workflows.models import Event, Run
from django_workflows.replay import events as log
from django_workflows.replay.epochs import effective
from django_workflows.store.checking import check_history
from django_workflows.store.exports import History
from django_workflows.store.replays import stored_log
from tests.app.models import Ledger, Marker


def check_log(run: Run) -> None:
    """The log has no holes, ends once and at its end, and nothing is left unread."""
    run.refresh_from_db()
    events = run.history()
    found = [(event.seq, event.type) for event in events]
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1)), found
    assert run.last_seq == len(events)
    # What a retry has made void counts for nothing but its numbers.
    counting = {event.seq for event in effective(stored_log(run))}
    ends = [event.seq for event in events if event.type in log.TERMINAL]
    assert [seq for seq in ends if seq in counting] == [len(events)]
    unread = run.events.filter(seq=None)
    assert not unread, [event.type for event in unread]
    times = [event.created_at for event in events]
    assert times == sorted(times)
    assert not run.hooks.exists()
    check_attempts(run, events, counting)


def check_attempts(run: Run, events: list[Event], counting: set[int | None]) -> None:
    """Attempts are counted without a gap; each ends at most once.

    What had begun, or ended, when its await was cancelled may be told of later.
    """
    numbers: dict[str, int] = {}
    ended = set()
    for event in events:
        step_id = event.correlation_id
        if event.type == log.STEP_STARTED:
            number = event.data["attempt"]
            assert number == numbers.get(step_id, 0) + 1, "an attempt is missing"
            if event.seq in counting:
                assert step_id not in ended, "an attempt after the step's end"
            numbers[step_id] = number
        elif event.seq not in counting:
            continue
        elif event.type in (log.STEP_COMPLETED, log.STEP_FAILED):
            assert step_id not in ended, "a step that ends twice"
            ended.add(step_id)
    assert not run.steps.filter(status__in=("pending", "running")).exists()


def check_stands_still(run: Run) -> None:
    """Nothing is numbered while a run is paused, but requests, and its end from
    outside with what had been accepted before."""
    is_paused = False
    for event in run.history():
        if event.type == log.RUN_PAUSED:
            is_paused = True
        elif event.type == log.RUN_RESUMED:
            is_paused = False
        elif is_paused and not (event.detail and event.data.get("late")):
            assert event.type in (log.RUN_TERMINATED, log.RUN_TIMED_OUT), event


def check_effects(run: Run, account: str, booked: list[Any]) -> None:
    """Atomic effects once; others at most once for each attempt in the log."""
    assert sorted(
        Ledger.objects.filter(account=account).values_list("amount", flat=True)
    ) == sorted(booked)
    started = Counter(
        (event.correlation_id, event.data["attempt"])
        for event in run.history()
        if event.type == log.STEP_STARTED
    )
    ran = Counter(
        Marker.objects.filter(name__startswith=f"{account}/").values_list(
            "value", "attempt"
        )
    )
    assert not ran - started, "a body that ran without a start in the log"
    completed = {
        event.correlation_id
        for event in run.history()
        if event.type == log.STEP_COMPLETED
    }
    assert {step_id for step_id, _ in ran} <= completed


def shape(run: Run) -> Counter[tuple[str, str]]:
    """What happened, without what differs between a good day and a bad one."""
    names: dict[str, str] = {}
    found: Counter[tuple[str, str]] = Counter()
    for event in run.history():
        if event.type in (log.STEP_STARTED, log.STEP_RETRYING):
            continue
        detail = json.loads(event.detail) if event.detail else {}
        if "name" in detail:
            names[event.correlation_id] = detail["name"]
        name = names.get(event.correlation_id, "").replace(run.args[0], "*")
        found[event.type, name] += 1
    return found


def check_replays(run: Run) -> None:
    """Every prefix of the log that a worker may have found leads to the same."""
    events = stored_log(run)
    for length in range(2, len(events) + 1):
        following = events[length] if length < len(events) else None
        if following is None or not (
            following.type in log.COMMANDS or following.detail.get("late")
        ):
            replay(run, length)


def replay(run: Run, length: int | None = None) -> None:
    """Replay the first events of a run. Raises what keeps it from going on."""
    broken = check_history(History(run, stored_log(run)[:length]))
    assert broken is None, f"replay of {length} events: {broken}"
