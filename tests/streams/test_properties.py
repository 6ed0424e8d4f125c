"""Random programs of writers that fail, crash, close and are retried.

Whatever they do, streams have no gap, each writer keeps its order, and nothing that was
written is lost.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_workflows import (
    FatalError,
    RetryPolicy,
    create_hook,
    get_step_metadata,
    get_writable,
    resume_hook,
    step,
    workflow,
)
from django_workflows.models import StreamChunk
from django_workflows.testing import WorkflowTester

pytestmark = pytest.mark.django_db

NAMESPACES = ["", "other"]


@dataclass(frozen=True)
class Attempt:
    """How many chunks it writes where, and whether it fails afterwards."""

    chunks: tuple[int, int]
    fails: bool


#: The attempts of a writer; the last one does not fail.
Writer = list[Attempt]
#: Writers at work at the same time, and whether everything crashes after them.
Stage = tuple[list[Writer], bool]

attempts = st.builds(Attempt, st.tuples(*[st.integers(0, 3)] * 2), st.booleans())
writers = st.lists(attempts, min_size=1, max_size=3)
stages = st.tuples(st.lists(writers, min_size=1, max_size=3), st.booleans())


@step(retry=RetryPolicy(initial_interval="1s"))
def write(stage: int, writer: int, plan: list[Any]) -> None:
    """Write what is planned for this attempt, the two streams in turns."""
    number = get_step_metadata().attempt
    counts, fails = plan[number - 1]
    for position in range(max(counts)):
        for namespace, count in zip(NAMESPACES, counts, strict=True):
            if position < count:
                chunk = (stage, writer, number, position)
                get_writable(namespace).write(chunk)
    if fails and number < len(plan):
        raise ConnectionError


@step
def close(namespace: str) -> None:
    get_writable(namespace).close()


broken: list[bool] = []


@step
def fail_once() -> None:
    if broken:
        raise FatalError("not yet")


@workflow
async def program(plan: list[Any], closed: bool) -> None:
    for number, stage in enumerate(plan):
        await asyncio.gather(
            *[write(number, writer, each) for writer, each in enumerate(stage)]
        )
        await create_hook(token=f"after {number}")
    if closed:
        await close("other")
    await fail_once()


@settings(max_examples=settings().max_examples // 8)
@given(st.lists(stages, min_size=1, max_size=3), st.booleans())
def test_streams_hold_what_was_written(
    workflows: WorkflowTester, stages: list[Stage], closed: bool
) -> None:
    broken.append(True)
    plan = [
        [[(attempt.chunks, attempt.fails) for attempt in writer] for writer in stage]
        for stage, _ in stages
    ]
    run = workflows.start(program, plan, closed)
    for number, (_, crashes) in enumerate(stages):
        workflows.advance("1h")
        if crashes:
            workflows.crash()
        resume_hook(f"after {number}", None)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    broken.clear()
    run.retry()
    assert not any(stream.is_closed for stream in run.streams.all())
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "completed"
    for place, namespace in enumerate(NAMESPACES):
        found = [tuple(chunk) for chunk in run.stream(namespace)]
        assert sorted(found) == found_in(stages, place)
        for writer in {chunk[:2] for chunk in found}:
            of_writer = [chunk for chunk in found if chunk[:2] == writer]
            assert of_writer == sorted(of_writer)
        assert [chunk[0] for chunk in found] == sorted(chunk[0] for chunk in found)
        stored = StreamChunk.objects.filter(
            stream__run=run, stream__namespace=namespace
        ).order_by("index")
        assert [chunk.index for chunk in stored] == list(range(len(found)))
        assert [chunk.attempt for chunk in stored] == [chunk[2] for chunk in found]


def found_in(stages: list[Stage], place: int) -> list[tuple[int, int, int, int]]:
    """What a stream is to hold, sorted."""
    return [
        (stage, writer, number, position)
        for stage, (plan, _) in enumerate(stages)
        for writer, attempts in enumerate(plan)
        for number, attempt in enumerate(made(attempts), 1)
        for position in range(attempt.chunks[place])
    ]


def made(writer: Writer) -> Writer:
    """Those of a writer's attempts that are made: up to one that does not fail."""
    for number, attempt in enumerate(writer, 1):
        if not attempt.fails:
            return writer[:number]
    return writer
