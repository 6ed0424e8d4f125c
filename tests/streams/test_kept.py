"""What becomes of streams when their run is copied, exported or deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_workflows import get_writable, step, workflow
from django_workflows.models import Run, Stream, StreamChunk
from django_workflows.store import retention
from django_workflows.store.retention import prune
from django_workflows.testing import WorkflowTester, export_history
from tests.app.models import Receipt

pytestmark = pytest.mark.django_db


@step
def write(*values: Any, close: bool = False) -> None:
    for value in values:
        get_writable().write(value)
        get_writable("twice").write([value, value])
    if close:
        get_writable().close()


@workflow
async def writing(*values: Any) -> None:
    for value in values:
        await write(value)
    await write(close=True)


@workflow(retention="1h")
async def writing_for_an_hour(*values: Any) -> None:
    await write(*values)


def finished(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    run = workflows.start(target, *args)
    workflows.run_until_idle()
    return run


def test_a_fork_has_what_was_written_up_to_there(workflows: WorkflowTester) -> None:
    run = finished(workflows, writing, "a", "b", "c")
    written = list(Stream.objects.order_by("id").values())
    second = [e for e in run.history() if e.type == "step_created"][1]
    fork = run.fork(second.correlation_id)
    assert [chunk.data for chunk in fork.streams.get(namespace="").chunks.all()] == [
        "a"
    ]
    workflows.run_until_idle()
    assert list(fork.stream()) == list(run.stream()) == ["a", "b", "c"]
    assert list(fork.stream("twice")) == [["a", "a"], ["b", "b"], ["c", "c"]]
    indexes = StreamChunk.objects.filter(stream__run=fork).order_by("stream", "index")
    assert [chunk.index for chunk in indexes] == [0, 1, 2] * 2
    assert list(Stream.objects.filter(run=run).order_by("id").values()) == written


def test_a_replay_begins_with_empty_streams(workflows: WorkflowTester) -> None:
    run = finished(workflows, writing, "a")
    again = run.replay()
    assert not again.streams.exists()
    workflows.run_until_idle()
    assert list(again.stream()) == ["a"]


def test_an_exported_history_tells_of_the_streams(workflows: WorkflowTester) -> None:
    run = finished(workflows, writing, "a", "b")
    run.refresh_from_db()
    assert json.loads(json.dumps(export_history(run)["streams"])) == [
        {"namespace": "", "length": 2, "is_closed": True},
        {"namespace": "twice", "length": 2, "is_closed": True},
    ]


def test_streams_go_with_their_run(workflows: WorkflowTester) -> None:
    kept = finished(workflows, writing, 1)
    finished(workflows, writing_for_an_hour, 1, 2)
    workflows.advance("2h")
    assert prune() == 1
    assert set(Stream.objects.values_list("run_id", flat=True)) == {kept.pk}
    assert StreamChunk.objects.count() == 2


def test_long_streams_go_in_batches(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 7)
    finished(workflows, writing_for_an_hour, *range(20))
    workflows.advance("2h")
    with CaptureQueriesContext(connection) as queries:
        assert prune() == 1
    deletions = [
        query["sql"]
        for query in queries
        if query["sql"].startswith("DELETE") and "streamchunk" in query["sql"]
    ]
    # Of 40 chunks 6 are left for the one that deletes the run.
    assert len(deletions) == 6
    assert not StreamChunk.objects.exists()


def test_long_streams_of_a_run_that_is_protected_stay_whole(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 7)
    run = finished(workflows, writing_for_an_hour, *range(20))
    Receipt.objects.create(run=run)
    workflows.advance("2h")
    assert prune() == 0
    assert len(list(run.stream())) == 20


def test_the_codec_seals_chunks(
    workflows: WorkflowTester, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from cryptography.fernet import Fernet

    settings.WORKFLOWS = {
        "PAYLOAD_CODEC": "django_workflows.codecs.FernetCodec",
        "ENCRYPTION_KEYS": [Fernet.generate_key().decode()],
    }
    run = finished(workflows, writing, "a secret")
    stored = b"".join(bytes(chunk.payload) for chunk in StreamChunk.objects.all())
    assert b"secret" not in stored
    assert list(run.stream()) == ["a secret"]
    call_command("workflows", "export", run.pk)
    assert "a secret" not in json.dumps(json.loads(capsys.readouterr().out)["streams"])
