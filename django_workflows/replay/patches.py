"""Which changes of its code a run goes by: ``patched()`` and ``deprecate_patch()``.

A run that reaches a change for the first time with the new code records that it did,
and goes by the change from then on. A run whose log has passed that point without such
a record goes on as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.replay.options import check_name

if TYPE_CHECKING:
    from django_workflows.replay.execution import Execution

LONGEST_CHANGE_ID = 255


class Patches:
    """The changes that one run has been asked about. The first answer holds, wherever
    in its code the run is asked again."""

    __slots__ = ("_answers", "_deprecated", "_execution")

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._answers: dict[str, bool] = {}
        self._deprecated: set[str] = set()

    def is_patched(self, change_id: str) -> bool:
        """Whether the run goes by the change. Raises ValueError for an unusable id."""
        known = self._answers.get(change_id)
        if known is None:
            check_name("the id of a change", change_id, LONGEST_CHANGE_ID)
            known = self._record(_event(change_id))
            self._answers[change_id] = known
        return known

    def deprecate(self, change_id: str) -> None:
        """From here on a record of the change means nothing any more."""
        if change_id in self._deprecated:
            return
        check_name("the id of a change", change_id, LONGEST_CHANGE_ID)
        self._deprecated.add(change_id)
        self._answers.setdefault(change_id, True)
        self._execution.require_task("deprecate_patch()")
        if self._execution.recorded is not None:
            self._execution.recorded.take(_event(change_id))

    def _record(self, event: LogEvent) -> bool:
        """Record a change of the code that the run goes by, if this burst is new.

        In a burst of the log it was recorded then, or the run has passed this point
        with the old code: False.
        """
        execution = self._execution
        execution.require_task("patched()")
        if execution.is_over:
            return False
        if execution.recorded is not None:
            return execution.recorded.take(event) is not None
        event.time = execution.loop.now_us
        execution.commands.append(event)
        return True

    def is_deprecated(self, event: LogEvent) -> bool:
        """Whether the code may leave this entry of the log out."""
        return (
            event.type == log.PATCH_RECORDED
            and event.detail.get("name") in self._deprecated
        )


def advice(left: Sequence[LogEvent]) -> str:
    """What to do about code that does not follow the log, whose entries `left` have
    no partner in it."""
    first = takewhile(lambda event: event.type == log.PATCH_RECORDED, left)
    changes = [event.detail["name"] for event in first]
    if not changes:
        return "Deploy code that does, or guard the change with patched()."
    asked = " and ".join(f"patched({change!r})" for change in changes)
    gone = " and ".join(f"deprecate_patch({change!r})" for change in changes)
    return (
        f"The run went by {asked}: keep asking there, or, once no open run needs the "
        f"old branch, put {gone} there."
    )


def _event(change_id: str) -> LogEvent:
    return LogEvent(log.PATCH_RECORDED, detail={"name": change_id})
