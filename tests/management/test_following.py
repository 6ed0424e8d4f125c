"""Runs and streams followed to their end, and the state of the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection

from django_workflows import start
from django_workflows.models import Run, Worker
from django_workflows.testing import WorkflowTester
from tests.faults.threads import one_worker
from tests.management.commands import document, run_command
from tests.management.workflows import napping, order, speaking

WORDS = ["Ada", 1, b"\0\xff", {"password": "hunter2"}, "\x1b[2J"]


def lines(*arguments: str) -> list[Any]:
    code, text = run_command("stream", *arguments, "--json")
    assert code == 0
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def spoken(workflows: WorkflowTester) -> Run:
    run = start(speaking, WORDS)
    workflows.run_until_idle()
    return run


def test_stream_prints_a_line_of_json_per_chunk(spoken: Run, settings: Any) -> None:
    settings.WORKFLOWS = {"REDACT": ["password"]}
    chunks = lines(spoken.pk)
    assert [chunk["index"] for chunk in chunks] == [0, 1, 2, 3, 4]
    assert [chunk["data"] for chunk in chunks] == [
        "Ada", 1, "AP8=", {"password": "[redacted]"}, "\x1b[2J",
    ]  # fmt: skip
    assert [chunk.get("encoding") for chunk in chunks][2] == "base64"
    assert {chunk["attempt"] for chunk in chunks} == {1}
    assert run_command("stream", spoken.pk)[1].splitlines() == [
        "Ada", "1", "AP8=", '{"password": "[redacted]"}', r"\x1b[2J",
    ]  # fmt: skip


def test_stream_begins_where_it_is_told_to(spoken: Run) -> None:
    for start_at, indexes in (("3", [3, 4]), ("-2", [3, 4]), ("-9", [*range(5)])):
        chunks = lines(spoken.pk, "--start", start_at)
        assert [chunk["index"] for chunk in chunks] == indexes
    assert lines(spoken.pk, "--start", "9") == []
    assert lines(spoken.pk, "--namespace", "other") == []


def test_what_goes_on_cannot_be_seen_in_a_transaction(
    workflows: WorkflowTester,
) -> None:
    run = start(napping)
    assert lines(run.pk, "--no-follow") == []
    assert connection.in_atomic_block
    for command in ("stream", "show"):
        more = ["--follow"] if command == "show" else []
        with pytest.raises(CommandError, match="transaction"):
            run_command(command, run.pk, *more)


@pytest.mark.django_db(transaction=True)
def test_followed_to_the_end() -> None:
    good, bad = start(speaking, ["a", "b"]), start(order, -1)
    with one_worker():
        assert [chunk["data"] for chunk in lines(good.pk)] == ["a", "b"]
        code, text = run_command("show", bad.pk, "--follow")
        shown = json.loads(run_command("show", good.pk, "--follow", "--json")[1])
    # Whatever the end is: it has been followed.
    assert code == 0
    told = [line.split() for line in text.splitlines()]
    types = [event.type for event in bad.history()]
    assert [words[2] for words in told[: len(types)]] == types
    assert "cause:     Failed: ValueError: cannot pay -1 (step commands.pay)" in (
        text.splitlines()
    )
    assert (shown["id"], shown["status"]) == (good.pk, "completed")


def test_health_tells_by_its_exit_code(db: None) -> None:
    code, text = run_command("health", "--json")
    told = json.loads(text)
    assert (code, told["status"], told["database"]) == (1, "unhealthy", True)
    code, text = run_command("health")
    assert (code, text.splitlines()[:2]) == (
        1,
        ["status: unhealthy", "database: answers"],
    )


def test_health_with_a_worker_and_with_work(workflows: WorkflowTester) -> None:
    start(napping.options(queue="eu"))
    told = document("health")
    assert (told["status"], told["workers"]) == ("ok", 1)
    assert [(queue["name"], queue["due_runs"]) for queue in told["queues"]] == [
        ("eu", 1)
    ]
    assert "eu" in run_command("health")[1].splitlines()[-1]


def test_workers_are_listed(workflows: WorkflowTester) -> None:
    worker = Worker.objects.get()
    (shown,) = document("workers")
    assert (shown["id"], shown["is_alive"]) == (worker.pk, True)
    assert shown["queues"] == ["default"]
    assert worker.pk in run_command("workers")[1]
    Worker.objects.update(stopped_at=worker.heartbeat_at)
    assert document("workers") == []
    assert "no worker" in run_command("workers")[1]
    assert [each["id"] for each in document("workers", "--all")] == [worker.pk]
