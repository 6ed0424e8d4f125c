"""Runs a workflow's code against a whole log, burst by burst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django_workflows.replay import children
from django_workflows.replay import events as log
from django_workflows.replay.blocking import RunBlocked
from django_workflows.replay.divergence import told
from django_workflows.replay.epochs import effective
from django_workflows.replay.events import LogEvent
from django_workflows.replay.matching import RecordedCommands

if TYPE_CHECKING:
    from django_workflows.replay.execution import Execution


def replay(execution: Execution, history: Sequence[LogEvent]) -> list[LogEvent]:
    """Run the function against its whole log, as far as no retry made it void.

    Returns the commands that the log does not hold yet: those of the outcome of a
    claim, of a hook or a child's key, in the log's last burst. Raises RunBlocked.
    """
    execution.is_replaying = True
    if history and history[-1].detail.get("by") == "engine":
        # Not the code's doing: to replay, the run is open up to there.
        replay(execution, history[:-1])
        execution.end_with(history[-1])
        return []
    history = effective(history)
    position = 0
    while position < len(history):
        event = history[position]
        position += 1
        if event.type not in log.INPUTS or event.detail.get("late"):
            execution.note(event)
            continue
        recorded = []
        last = position
        while last < len(history) and (
            history[last].type not in log.INPUTS or history[last].detail.get("late")
        ):
            if history[last].type in log.COMMANDS and not (
                execution.patches.is_deprecated(history[last])
            ):
                recorded.append(history[last])
            last += 1
        execution.is_copied = (event.seq or 0) <= execution.copied
        execution.recorded = RecordedCommands(recorded, is_loose=execution.is_copied)
        execution.burst(event)
        _replay_outcomes(execution, recorded, is_last=last == len(history))
        if execution.recorded:
            left = execution.recorded.left()
            error = execution.diverge(
                f"the log holds {told(left[0])}, which the code "
                f"did not issue after {told(event)}",
                left,
            )
            raise RunBlocked(error)
        for informational in history[position:last]:
            if informational.type not in log.COMMANDS:
                execution.note(informational)
        position = last
    while execution.edges and (history[-1].seq or 0) >= execution.edges[0].until:
        execution.pass_edge()
    execution.recorded = None
    execution.is_replaying = execution.is_copied = False
    return execution.take_commands()


def _replay_outcomes(
    execution: Execution, recorded: Sequence[LogEvent], *, is_last: bool
) -> None:
    """Deliver the outcomes of the claims among a burst's recorded commands.

    The claims of one burst had their outcomes in one round, those that these
    bursts made theirs in the next. So the bursts of one round are in the log all
    together; with nothing behind the claims they may be new ones.
    """
    claims = (log.HOOK_CREATED, log.HOOK_CONFLICT)
    waiting = [e for e in recorded if e.type in claims or children.is_claim(e)]
    while waiting:
        left = execution.recorded.left() if execution.recorded else ()
        unissued = set(map(id, left))
        made = [claim for claim in waiting if id(claim) not in unissued]
        if not made:
            return  # claims of the log that the code does not make
        waiting = [claim for claim in waiting if id(claim) in unissued]
        if is_last and not execution.recorded:
            execution.recorded = None
            execution.is_replaying = False
        for outcome in made:
            execution.burst(outcome)
