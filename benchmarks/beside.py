"""Fills the database with what people look at beside runs: open hooks, schedules,
definitions, and workers that have stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection

from benchmarks import workflows
from benchmarks.listed import copy_id
from benchmarks.output import progress
from benchmarks.stored import tidy
from django_workflows.definitions.storing import register
from django_workflows.models import Definition, Hook, Run, Schedule, Worker

#: How many there are; of hooks it is one for ten runs.
SCHEDULES = WORKERS = 1_000
DEFINITIONS = 200
#: Versions of each definition.
VERSIONS = 3
#: Rows of a statement.
_BATCH = 1_000
_DAY = timedelta(days=1)


@contextmanager
def things_beside(template: Run, count: int) -> Iterator[None]:
    """They are there until the block is left, beside so many runs."""
    progress("storing hooks, schedules, definitions and workers")
    numbers = range(6, count, 10)
    Hook.objects.bulk_create(
        (_hook(template, number, count) for number in numbers), _BATCH
    )
    Schedule.objects.bulk_create(
        (_schedule(template, number) for number in range(SCHEDULES)), _BATCH
    )
    Worker.objects.bulk_create(
        (_worker(template, number) for number in range(WORKERS)), _BATCH
    )
    for number in range(DEFINITIONS):
        for version in range(VERSIONS):
            register(_definition(number, version))
    tidy()
    try:
        yield
    finally:
        Worker.objects.filter(host="gone").delete()
        for model in (Hook, Schedule, Definition):
            # Without a look at what hangs on each row: nothing does.
            model.objects.all()._raw_delete(connection.alias)


def _hook(template: Run, number: int, count: int) -> Hook:
    token = f"benchmarks:{number}"
    return Hook(
        id=f"hook_{number:026d}",
        run_id=copy_id(template, number),
        token=token,
        token_hash=hashlib.sha256(token.encode()).hexdigest(),
        created_at=template.created_at - timedelta(seconds=count - number),
    )


def _schedule(template: Run, number: int) -> Schedule:
    """The first one is that of runs; none is due within a year."""
    now = template.created_at
    return Schedule(
        name=f"report-{number}" if number else "nightly",
        workflow=workflows.looked_at.name,
        cron=f"{number % 60} 3 * * *",
        created_at=now - 400 * _DAY,
        last_run_at=now - _DAY,
        next_run_at=now + 400 * _DAY,
    )


def _worker(template: Run, number: int) -> Worker:
    return Worker(
        id=f"wrkr_{number:026d}",
        host="gone",
        pid=number,
        queues="default",
        started_at=template.created_at - number * _DAY,
        heartbeat_at=template.created_at - number * _DAY,
        stopped_at=template.created_at - number * _DAY,
    )


def _definition(number: int, version: int) -> dict[str, object]:
    steps = [{"id": f"step-{each}", "action": "noop"} for each in range(version + 3)]
    return {"id": f"benchmarks-{number}", "name": f"Number {number}", "steps": steps}
