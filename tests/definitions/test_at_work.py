"""Definitions with a real worker, and registered from several threads at once."""

from __future__ import annotations

from typing import Any

import pytest

from django_workflows import definitions, get_step_metadata
from django_workflows.definitions import action
from django_workflows.models import Run, Step
from tests.cluster.harness import DEADLINE
from tests.engine.threads import in_threads
from tests.faults.threads import one_worker

pytestmark = pytest.mark.django_db(transaction=True)


def test_actions_run_on_a_worker() -> None:
    @action("count_runs")
    def count_runs(params: Any) -> int:
        return Run.objects.count()

    @action("count_later")
    async def count_later(params: Any, state: dict[str, Any]) -> list[Any]:
        name = get_step_metadata().step_name
        return [await Run.objects.acount(), state["sync"], name]

    steps = [
        {"id": "sync", "action": "countRuns", "wait": "10ms"},
        {"id": "async", "action": "countLater", "dependsOn": ["sync"]},
        {"id": "bare", "action": "count_runs", "condition": "input.other"},
    ]
    definitions.register({"id": "test", "steps": steps})
    with one_worker():
        run = definitions.start("test", {"other": False})
        result = run.result(timeout=DEADLINE)
    assert result == {"sync": 1, "async": [1, 1, "django_workflows.action"]}
    assert not Step.objects.exclude(status="completed").exists()


def test_versions_of_those_who_register_at_once_differ() -> None:
    def register(wait: int) -> int | None:
        steps = [{"id": "a", "action": "noop", "wait": wait}]
        return definitions.register({"id": "test", "steps": steps}).version

    versions = in_threads([lambda n=n: register(n) for n in range(4)])  # type: ignore[misc]
    assert sorted(map(int, filter(None, versions))) == [1, 2, 3, 4]


def test_same_content_registered_at_once_is_one_version() -> None:
    steps = [{"id": "a", "action": "noop"}]

    def register() -> int | None:
        return definitions.register({"id": "test", "steps": steps}).version

    assert in_threads([register] * 4) == [1, 1, 1, 1]
