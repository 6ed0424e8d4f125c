"""Logs that grow without end: a warning, then a clear failure."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.test import override_settings

from django_workflows import (
    HistoryLimitError,
    WorkflowRunFailedError,
    create_hook,
    resume_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.models import Hook, Run
from django_workflows.testing import WorkflowTester


@pytest.fixture
def limits() -> Iterator[None]:
    low = {"HISTORY_WARNING": 20, "HISTORY_LIMIT": 50}
    with override_settings(WORKFLOWS=low):
        yield


@step
def work() -> None:
    pass


@workflow
async def endless() -> None:
    while True:
        await work()


@workflow
async def sleepless(naps: int) -> str:
    for _ in range(naps):
        await sleep("1h")
    return "rested"


@workflow
async def listening() -> None:
    async for _ in create_hook(token="growth"):
        pass


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if getattr(record, "action", "") == "history_long"
    ]


@pytest.mark.usefixtures("limits")
class TestLimits:
    def test_failure_names_run_number_and_way_out(
        self, workflows: WorkflowTester
    ) -> None:
        run = start(endless)
        workflows.run_until_idle()
        with pytest.raises(WorkflowRunFailedError) as caught:
            run.result()
        error = caught.value.cause
        assert isinstance(error, HistoryLimitError)
        assert error.code == "history_limit"
        events = run.history()
        assert 50 <= len(events) <= 53
        assert events[-1].type == "run_failed"
        for part in (run.pk, "50", "HISTORY_LIMIT", "continue_as_new()"):
            assert part in str(error)
        workflows.assert_replays(run)

    def test_warning_is_logged_once(
        self, workflows: WorkflowTester, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "django_workflows"):
            run = start(sleepless, 18)
            workflows.run_until_idle()
            for hour in range(18):
                workflows.advance("1h")
                if hour % 4 == 0:
                    workflows.crash()
        assert run.result() == "rested"
        assert len(run.history()) == 3 + 2 * 18
        (text,) = warnings(caplog)
        assert run.pk in text
        assert "continue_as_new()" in text

    def test_short_log_is_not_mentioned(
        self, workflows: WorkflowTester, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "django_workflows"):
            assert workflows.run(sleepless, 8) == "rested"
        assert warnings(caplog) == []

    def test_run_that_ends_at_the_limit_has_not_failed(
        self, workflows: WorkflowTester
    ) -> None:
        assert workflows.run(sleepless, 23) == "rested"  # 49 events

    def test_hooks_and_waits_end_with_it(self, workflows: WorkflowTester) -> None:
        run = start(listening)
        workflows.run_until_idle()
        for number in range(60):
            resume_hook("growth", number)
        workflows.run_until_idle()
        run.refresh_from_db()
        assert run.status == Run.Status.FAILED
        assert isinstance(run.error, HistoryLimitError)
        assert not Hook.objects.filter(token="growth").exists()
        # What was accepted is in the log, read or not.
        received = [e.data for e in run.history() if e.type == "hook_received"]
        assert [data["payload"] for data in received] == list(range(60))
