"""The watchdog sees a cluster that is alive and does nothing."""

from __future__ import annotations

from typing import Any

from django_workflows.worker.q2.watchdog import Watchdog


def _run(seconds: int, watchdog: Watchdog | None = None, **sight: Any) -> str | None:
    """Look every second from 1000 on; values may be functions of the time."""
    watchdog = watchdog or Watchdog(patience=60)
    for now in range(1000, 1000 + seconds + 1):
        seen: dict[str, Any] = {"idle": True, "waiting": False}
        seen |= {"pusher_beat": now, "due_since": 0.0}
        seen |= {
            key: value(now) if callable(value) else value
            for key, value in sight.items()
        }
        if verdict := watchdog.look(float(now), **seen):
            return verdict
    return None


def test_idle_cluster_is_fine() -> None:
    assert _run(600) is None


def test_due_work_that_idle_workers_leave_lying_is_noticed() -> None:
    assert _run(59, due_since=1000.0) is None
    assert "workflow work" in str(_run(70, due_since=1000.0))


def test_messages_that_idle_workers_leave_lying_are_noticed() -> None:
    assert "message waits" in str(_run(70, waiting=True))
    assert _run(600, waiting=lambda now: now % 50 != 0) is None


def test_pusher_that_does_not_ask_is_noticed() -> None:
    assert "pusher" in str(_run(70, pusher_beat=1000.0))


def test_busy_workers_excuse_everything() -> None:
    sight: dict[str, Any] = {"waiting": True, "pusher_beat": 0.0, "due_since": 1.0}
    assert _run(600, idle=False, **sight) is None
    assert _run(600, idle=lambda now: now % 50 != 0, **sight) is None


def test_time_suspended_does_not_count() -> None:
    watchdog = Watchdog(patience=60)
    assert _run(30, watchdog, due_since=900.0) is None
    seen: dict[str, Any] = {"idle": True, "waiting": False}
    seen |= {"pusher_beat": 1030.0, "due_since": 900.0}
    assert watchdog.look(5000.0, **seen) is None
    assert watchdog.look(5001.0, **seen) is None
