"""now(), random(), uuid4(), metadata and logging: the same, or silent, in replay."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_workflows.replay.api import (
    get_workflow_metadata,
    now,
    random,
    sleep,
    uuid4,
)
from django_workflows.replay.definitions import workflow
from tests.replay.driver import START_US, Driver, check_replays, drive
from tests.replay.steps import echo

logger = logging.getLogger("tests.replay.facts")


def test_now_is_the_time_of_the_event() -> None:
    @workflow
    async def flow() -> Any:
        times = [now(), now()]
        await echo(1)
        times.append(now())
        await sleep(60)
        return [*times, now()]

    run = drive(flow)
    run.now_us += 3_000_000
    run.run_step(run.steps[0])
    run.fire()
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=START_US)
    seconds = [(time - start).total_seconds() for time in run.result]
    assert seconds == [0, 0, 3, 63]
    check_replays(run)


def test_random_and_uuid4_follow_from_the_seed() -> None:
    @workflow
    async def flow() -> Any:
        before = [random().random(), random().randint(1, 6), str(uuid4())]
        await echo(before)
        return [*before, random().choice("abc"), str(uuid4())]

    run = drive(flow).run()
    check_replays(run)
    assert drive(flow).run().result == run.result
    other = Driver(flow, seed=b"another seed").run()
    assert other.result[0] != run.result[0]
    assert other.result[2] != run.result[2]
    assert uuid.UUID(run.result[4]).version == 4


def test_metadata_is_as_of_the_log() -> None:
    seen: list[bool] = []

    @workflow
    async def flow() -> Any:
        found = get_workflow_metadata()
        seen.append(found.is_replaying)
        await echo(1)
        seen.append(get_workflow_metadata().is_replaying)
        return [found.run_id, found.workflow_name, found.url, found.attempt, found.key]

    run = drive(flow)
    run.drop()
    assert run.run().result == [
        "wrun_test",
        flow.name,
        "http://test/runs/wrun_test/",
        1,
        None,
    ]
    assert seen == [False, True, False]


@pytest.mark.parametrize(
    "function",
    [now, random, uuid4, get_workflow_metadata, lambda: sleep(1)],
)
def test_outside_of_a_workflow_is_refused(function: Any) -> None:
    with pytest.raises(RuntimeError, match="inside a workflow"):
        function()


def test_log_lines_are_written_once(caplog: pytest.LogCaptureFixture) -> None:
    @workflow
    async def flow() -> None:
        for n in range(3):
            logger.info("line %s", n)
            await echo(n)

    with caplog.at_level(logging.INFO, logger="tests"):
        run = drive(flow)
        run.drop()
        run.run_step(run.steps[0])
        run.drop()
        run.run()
        check_replays(run)
    lines = [r.getMessage() for r in caplog.records if r.name == logger.name]
    assert lines == ["line 0", "line 1", "line 2"]


def test_logging_elsewhere_is_untouched(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tests"):
        logger.info("outside")
    assert "outside" in caplog.text
