"""What of a log still counts, after retries in place: its effective history.

A retry takes a run back to an earlier event, its *cut*. What was recorded from there
to the entry `run_retried` stays in the log for people to read and is void otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from django_workflows.replay.events import RUN_RETRIED, LogEvent


def effective(history: Sequence[LogEvent]) -> Sequence[LogEvent]:
    """The entries of a log that count: those before the cut of each retry, the retry
    itself and what follows it. A later retry may take back an earlier one."""
    if not any(event.type == RUN_RETRIED for event in history):
        return history
    kept: list[LogEvent] = []
    for event in history:
        if event.type == RUN_RETRIED:
            cut = event.detail["cut"]
            while kept and (kept[-1].seq or 0) >= cut:
                kept.pop()
        kept.append(event)
    return kept
