"""Families run by a whole worker, with its threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings

from django_workflows import get_run, start, start_child, step, workflow
from django_workflows.conf import conf
from django_workflows.models import Run
from tests.cluster.harness import until
from tests.faults.threads import one_worker

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

#: Seconds of one run on a busy machine.
LONGEST = 200

_busy = threading.Lock()
_most: list[int] = []


@step(name="faults.counts_threads")
def occupy(depth: int) -> int:
    """Notice if another thread is at work as well."""
    alone = _busy.acquire(blocking=False)
    _most.append(1 if alone else 2)
    time.sleep(0.002)
    if alone:
        _busy.release()
    return depth


@workflow(name="faults.deep")
async def deep(depth: int) -> int:
    await occupy(depth)
    if depth:
        await start_child(deep, depth - 1)
    return await occupy(depth)


@step(name="faults.spawns")
def spawn(depth: int) -> str:
    return str(start(deep, depth).pk)


@step(name="faults.collects")
def collect(run_id: str) -> int:
    result: int = get_run(run_id).result(timeout=90)
    return result


@workflow(name="faults.by_steps")
async def by_steps(depth: int) -> list[object]:
    run_id = await spawn(depth)
    return [run_id, await collect(run_id) * 2]


@workflow(name="faults.nothing")
async def nothing(number: int) -> int:
    return number


@workflow(name="faults.wide")
async def wide(count: int) -> int:
    return sum(await asyncio.gather(*(start_child(nothing, n) for n in range(count))))


def run_to_its_end(run: Run) -> None:
    with one_worker():
        until(
            lambda: Run.objects.get(pk=run.pk).is_closed, "the end of the run", LONGEST
        )


def _use(monkeypatch: pytest.MonkeyPatch, **values: Any) -> Iterator[None]:
    # To begin thousands of children at once takes a busy machine its time.
    values["BURST_TIMEOUT"] = "60s"
    monkeypatch.setattr(settings, "WORKFLOWS", values, raising=False)
    conf.forget()
    yield
    conf.forget()


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from _use(monkeypatch)


@pytest.fixture
def single_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    _most.clear()
    yield from _use(monkeypatch, THREADS=1, LINGER="50ms")


@pytest.mark.usefixtures("single_thread")
def test_step_that_waits_for_a_run_it_started_lends_its_slot() -> None:
    run = start(by_steps, 1)
    run_to_its_end(run)
    child_id, result = run.result()
    assert result == 2
    assert get_run(child_id).parent_id == run.pk


@pytest.mark.usefixtures("single_thread")
def test_waiting_parents_hold_no_slot() -> None:
    """Five generations, each of which waits for the next, on a single thread."""
    run = start(deep, 5)
    run_to_its_end(run)
    assert run.result() == 5
    assert len(_most) == 12
    assert max(_most) == 1


@pytest.mark.usefixtures("many_threads")
def test_thousands_of_children() -> None:
    run_to_its_end(start(wide, 10))  # imports, connections, plans
    runs = []
    for count in (500, 2000):
        runs.append(start(wide, count))
        run_to_its_end(runs[-1])
    assert [run.result() for run in runs] == [sum(range(500)), sum(range(2000))]
    for run in runs:
        assert len(run.history()) == 2 * run.args[0] + 3
