"""Prints the logs of some programs, or replays logs that another process printed.

Run by test_traces.py, under other hash seeds and other versions of Python:
``python -m tests.replay.trace record``, ``python -m tests.replay.trace replay < LOGS``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.replay.programs import Program

_WORK: Program = ("sequence", (("step",), ("step",)))
_MANY: tuple[Program, ...] = tuple(
    [("step",), ("sleep", 1), _WORK, ("asyncio_sleep", 0.5), ("chance",)] * 4
)

PROGRAMS: dict[str, Program] = {
    "gather": ("gather", _MANY),
    "race": ("caught", ("race", _MANY), _WORK),
    "first success": ("caught", ("first_success", (("fail",), *_MANY)), _WORK),
    "group": ("gather_all", (("group", (*_MANY, ("fail",))), ("group", _MANY))),
    "as completed": ("gather_all", (("as_completed", _MANY), ("step",))),
    "wait": ("sequence", (("wait_first", _MANY), ("wait_first", _MANY))),
    "eager": ("eager", _MANY),
    "semaphore": ("caught", ("semaphore", (*_MANY, ("fail",))), ("step",)),
    "timeout": ("timeout", 1.0, ("group", (*_MANY, ("timeout", 0.5, _WORK)))),
    "hooks": (
        "gather_all",
        (
            ("hook", "door a", ("group", (_WORK, ("door", "door b")))),
            ("door", "taken"),
            ("hook", "door b", _WORK),
            ("finally", ("cancelled", ("gather", _MANY), _WORK), _WORK),
        ),
    ),
    "children": (
        "gather_all",
        (
            *[("child",), ("keyed_child", "key a"), ("keyed_child", "taken")] * 2,
            ("race", (("child",), ("sleep", 1))),
            ("cancelled_child",),
        ),
    ),
    "mixture": (
        "gather_all",
        (
            ("queue", _MANY),
            ("shield", ("group", _MANY)),
            ("generator", (_WORK, _WORK)),
            ("background",),
            ("cancelled", ("group", _MANY), _WORK),
        ),
    ),
    "wait for": (
        "gather_all",
        (("wait_for", 1.0, _WORK), ("wait_for", 2.5, _WORK), _WORK, ("step",)),
    ),
    "nested wait for": (
        "gather_all",
        (("wait_for", 2.5, ("gather", (("wait_for", 1.0, _WORK), _WORK))), _WORK),
    ),
}

Log = list[list[Any]]


def record() -> dict[str, Log]:
    """The log of each program."""
    from tests.replay.driver import close_all
    from tests.replay.programs import drive_randomly

    logs = {}
    for number, (name, program) in enumerate(PROGRAMS.items()):
        run = drive_randomly(program, number)
        logs[name] = [
            [
                event.type,
                event.correlation_id,
                event.time,
                dict(event.detail),
                None if event.payload is None else event.payload.decode(),
            ]
            for event in run.log
        ]
        close_all()
    return logs


def replay(logs: dict[str, Log]) -> None:
    """Replay every prefix of every log. Raises RunBlocked."""
    from django_workflows.replay.events import LogEvent
    from tests.replay.driver import Driver, check_replays, close_all
    from tests.replay.programs import interpret

    for rows in logs.values():
        run = Driver(interpret, ())
        run.log = [
            LogEvent(
                kind,
                correlation_id,
                time=time,
                detail=detail,
                payload=None if payload is None else payload.encode(),
                seq=number,
            )
            for number, (kind, correlation_id, time, detail, payload) in enumerate(
                rows, 1
            )
        ]
        run.drop()
        check_replays(run)
        close_all()


def main() -> None:
    from django.conf import settings

    settings.configure()
    if sys.argv[1] == "record":
        json.dump(record(), sys.stdout)
    else:
        replay(json.load(sys.stdin))


if __name__ == "__main__":
    main()
