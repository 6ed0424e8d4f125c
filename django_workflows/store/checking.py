"""Replays histories against today's code: which runs would a deploy block?

Nothing is written and no step is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django_workflows.conf import conf
from django_workflows.core import failures, serialization
from django_workflows.errors import (
    NonDeterminismError,
    SerializationError,
    WorkflowNotRegisteredError,
)
from django_workflows.models import Run
from django_workflows.replay import events as log
from django_workflows.replay.chance import SeedUnknownError
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.events import LogEvent
from django_workflows.replay.execution import BurstTimeout, Execution, RunBlocked
from django_workflows.replay.guard import watching
from django_workflows.replay.registry import registry
from django_workflows.store.database import alias, connection
from django_workflows.store.exports import History, read_history
from django_workflows.store.history import read_logs, to_log_event
from django_workflows.store.patience import Patience
from django_workflows.store.replays import run_info

BATCH = 100

#: A file, an exported document, a run, or several of them.
Source = Path | str | Mapping[str, Any] | Run | Iterable[Any]


@dataclass(frozen=True)
class Broken:
    """A run that could not go on with today's code, and where it would be stopped."""

    run_id: str
    workflow: str
    version: str
    error: BaseException
    #: Number and text of the event that does not fit, or at which it stopped.
    seq: int | None = None
    event: str = ""
    #: The line of today's code; empty and 0 if there is no code.
    file: str = ""
    line: int = 0
    #: The file that the history was read from; empty for the database.
    source: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "run": self.run_id,
            "workflow": self.workflow,
            "version": self.version,
            "seq": self.seq,
            "event": self.event,
            "file": self.file,
            "line": self.line,
            "error": type(self.error).__name__,
            "message": str(self.error),
            "source": self.source,
        }

    def __str__(self) -> str:
        version = f" (version {self.version})" if self.version else ""
        text = f"{self.workflow}{version} {self.run_id}"
        if self.source:
            text += f" in {self.source}"
        if self.seq is not None:
            text += f", event {self.seq} ({self.event})"
        if self.file:
            text += f", {self.file}:{self.line}"
        return f"{text}\n    {type(self.error).__name__}: {self.error}"


@dataclass
class ReplayReport:
    """What became of the histories that were replayed."""

    checked: int = 0
    broken: list[Broken] = field(default_factory=list)

    def raise_for_broken(self) -> None:
        """Raise NonDeterminismError, which lists them, if any run would break."""
        if self.broken:
            raise NonDeterminismError(str(self))

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "checked": self.checked,
            "broken": [broken.as_json() for broken in self.broken],
        }

    def __str__(self) -> str:
        found = [str(broken) for broken in self.broken]
        runs = "1 history" if self.checked == 1 else f"{self.checked} histories"
        found.append(f"{runs} replayed, {len(self.broken)} would break.")
        return "\n".join(found)


def check_replay(*sources: Source, fail_fast: bool = False) -> ReplayReport:
    """Replay histories against today's code, without running steps or writing.

    Takes paths of files that ``manage.py workflows export`` wrote, their contents,
    runs, and iterables of these, such as ``Run.objects.open()``. An open run replays
    to where it is suspended, a failed one to the same failure. `fail_fast` stops at the
    first that breaks. Raises ValueError and OSError for files that are no histories.
    """
    report = ReplayReport()
    with Patience(lambda: conf.BURST_TIMEOUT) as patience:
        for history in read_histories(sources):
            report.checked += 1
            broken = check_history(history, patience)
            if broken is not None:
                report.broken.append(broken)
                if fail_fast:
                    break
    return report


def read_histories(sources: Iterable[Any]) -> Iterator[History]:
    """The histories that are meant; see :func:`check_replay`."""
    waiting: list[Run] = []
    for source in sources:
        if isinstance(source, Run):
            waiting.append(source)
            if len(waiting) == BATCH:
                yield from _stored(waiting)
                waiting = []
        elif isinstance(source, str | Path):
            yield from _in_file(Path(source))
        elif isinstance(source, Mapping):
            yield read_history(source)
        elif isinstance(source, History):
            yield source
        else:
            yield from read_histories(_few_at_a_time(source))
    yield from _stored(waiting)


def _few_at_a_time(source: Iterable[Any]) -> Iterable[Any]:
    """Not all rows of a large queryset at once."""
    from django.db.models import QuerySet

    if not isinstance(source, QuerySet):
        yield from source
        return
    rows = source.order_by("pk")
    page = list(rows[:BATCH])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:BATCH])


def _stored(runs: list[Run]) -> Iterator[History]:
    logs = read_logs(connection(), [run.pk for run in runs])
    for run in runs:
        try:
            events = [to_log_event(row) for row in logs[run.pk] if row[1] is not None]
        except Exception as error:
            # A payload that cannot be opened: the worker could not go on either.
            yield Unreadable(run, [], error=error)
        else:
            nothing = SerializationError("damaged log: it has no entries")
            yield History(run, events) if events else Unreadable(run, [], error=nothing)


@dataclass(frozen=True)
class Unreadable(History):
    """A history that cannot even be read."""

    error: BaseException = field(kw_only=True)


def _in_file(path: Path) -> Iterator[History]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    for document in content if isinstance(content, list) else [content]:
        yield read_history(document, str(path))


# -- one history ----------------------------------------------------------------------


def check_history(history: History, patience: Patience | None = None) -> Broken | None:
    """Replay one history. Returns what would stop it, or None.

    Without `patience` code that loops for ever does so.
    """
    run = history.run
    if isinstance(history, Unreadable):
        return _broken(history, history.error)
    try:
        workflow = registry.workflow(run.workflow, run.version)
    except WorkflowNotRegisteredError as error:
        return _broken(history, error)
    broken = _replay(history, workflow, patience)
    if broken is not None and isinstance(broken.error, SeedUnknownError):
        # Here the run itself may be at hand.
        known = Run.objects.using(alias()).filter(pk=run.pk).first()
        if known is not None:
            run.seed = known.seed
            broken = _replay(history, workflow, patience)
    return broken


def _replay(
    history: History, workflow: Workflow[..., Any], patience: Patience | None
) -> Broken | None:
    execution = Execution(workflow, run_info(history.run))
    try:
        with patience.with_(execution) if patience else nullcontext(), watching:
            execution.replay(history.events)
        _begin(workflow, history.events)
        _compare_ends(execution, history.events[-1])
    except RunBlocked as blocked:
        return _broken(history, blocked.error, execution)
    except BurstTimeout as error:
        return _broken(history, execution.blocked or error, execution)
    except Exception as error:
        # Today's code cannot read the log, in whatever way.
        return _broken(history, error, execution)
    finally:
        execution.close()
    return None


def _begin(workflow: Workflow[..., Any], events: list[LogEvent]) -> None:
    """A run that has not begun can begin: its arguments still fit."""
    if len(events) == 1:
        args, kwargs = serialization.loads_call(events[0].payload or b"")
        workflow.signature.bind(*args, **kwargs)


def _compare_ends(execution: Execution, last: LogEvent) -> None:
    """A workflow that failed fails in the same way: by the same type of error."""
    end = execution.end
    if end is None or last.type != log.RUN_FAILED or end is last:
        return
    today = failures.Failure.of(end.payload or b"")
    recorded = failures.Failure.of(last.payload or b"")
    if today.type_name != recorded.type_name:
        file, line = execution.waiting_location()
        raise NonDeterminismError(
            f"{execution.workflow.name} fails with {today} where the log holds "
            f"{recorded} (event {last.seq}) ({file}:{line})",
            file=file,
            line=line,
            seq=last.seq,
        )


def _broken(
    history: History, error: BaseException, execution: Execution | None = None
) -> Broken:
    run = history.run
    seq = getattr(error, "seq", None)
    file, line = getattr(error, "file", ""), getattr(error, "line", 0)
    if execution is not None:
        if not file:
            file, line = execution.waiting_location()
        if seq is None:
            at = execution.event or history.events[0]
            seq = at.seq
    event = next((e for e in history.events if e.seq == seq), None)
    return Broken(
        run_id=run.pk,
        workflow=run.workflow,
        version=run.version,
        error=error,
        seq=seq,
        event="" if event is None else _told(event, history.events),
        file=file,
        line=line,
        source=history.source,
    )


def _told(event: LogEvent, events: list[LogEvent]) -> str:
    """The event's type, and the name of what it is about."""
    for other in events:
        if event.correlation_id == other.correlation_id and "name" in other.detail:
            about = event if "name" in event.detail else other
            return f"{event.type} {about.subject}"
    return event.type
