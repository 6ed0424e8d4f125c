"""Django signals about runs: what is told, when, and what receivers cannot break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.dispatch import Signal

from django_workflows import (
    continue_as_new,
    signals,
    sleep,
    start,
    start_child,
    start_many,
    step,
    workflow,
)
from django_workflows.models import Run
from django_workflows.store import announcements
from django_workflows.testing import WorkflowTester
from tests.engine.transactions import rolled_back

pytestmark = pytest.mark.django_db

Told = list[tuple[str, dict[str, Any]]]


class Listener:
    """Hears every signal and keeps what it was told."""

    def __init__(self) -> None:
        self.told: Told = []
        self._receivers: list[tuple[Signal, Any]] = []
        for name in signals.__all__:
            self._listen(name, getattr(signals, name))

    def _listen(self, name: str, signal: Signal) -> None:
        def hear(**told: Any) -> None:
            assert told.pop("signal") is signal
            self.told.append((name, told))

        signal.connect(hear, weak=False)
        self._receivers.append((signal, hear))

    def close(self) -> None:
        for signal, receiver in self._receivers:
            signal.disconnect(receiver)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]

    def of(self, name: str) -> list[dict[str, Any]]:
        return [told for kind, told in self.told if kind == name]


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@step
def double(number: int) -> int:
    return 2 * number


@step(max_retries=1)
def fail() -> None:
    raise ValueError("no")


@workflow
async def counting(number: int) -> int:
    doubled = await double(number)
    await sleep("1h")
    return doubled


@workflow
async def failing() -> None:
    await fail()


@workflow
async def guarded() -> None:
    import time

    time.time()


def test_a_run_is_told_from_start_to_end(
    workflows: WorkflowTester, listener: Listener
) -> None:
    run = workflows.start(counting, 4)
    workflows.run_until_idle()
    assert listener.names == ["run_created", "run_started", "step_finished"]
    workflows.advance("1h")
    assert listener.names[3:] == ["run_finished"]
    for _, told in listener.told:
        assert told["sender"] is Run
        assert (told["run_id"], told["workflow"]) == (run.pk, counting.name)
        assert told["run"] == run
    statuses = [told["status"] for _, told in listener.told]
    assert statuses == ["pending", "running", "completed", "completed"]
    (ended,) = listener.of("step_finished")
    assert (ended["step_name"], ended["attempt"]) == (double.name, 1)
    assert ended["step_id"].startswith("step_")
    assert listener.of("run_finished")[0]["run"].output == 8


def test_replay_tells_nothing_again(
    workflows: WorkflowTester, listener: Listener
) -> None:
    workflows.start(counting, 4)
    workflows.run_until_idle()
    before = listener.names
    workflows.crash()
    workflows.run_until_idle()
    assert listener.names == before
    workflows.advance("1h")
    assert listener.names == [*before, "run_finished"]


def test_failures_are_told(workflows: WorkflowTester, listener: Listener) -> None:
    workflows.start(failing)
    workflows.advance("1m")
    (ended,) = listener.of("step_finished")
    assert (ended["status"], ended["attempt"]) == ("failed", 2)
    (end,) = listener.of("run_finished")
    assert end["status"] == "failed"
    assert isinstance(end["run"].error, ValueError)


def test_each_time_that_a_run_is_blocked_is_told(
    workflows: WorkflowTester, listener: Listener
) -> None:
    workflows.start(guarded)
    workflows.run_until_idle()
    workflows.advance("1m")
    told = listener.of("run_blocked")
    assert [each["times"] for each in told] == [1, 2]
    assert "WorkflowGuardError: time.time()" in told[0]["reason"]


def test_what_people_do_is_told(workflows: WorkflowTester, listener: Listener) -> None:
    unbegun, running, paused = start_many(counting, [(1,), (2,), (3,)])
    unbegun.cancel()
    workflows.run_until_idle()
    running.terminate()
    paused.pause()
    workflows.run_until_idle()
    paused.resume()
    workflows.run_until_idle()
    ends = {told["run_id"]: told["status"] for told in listener.of("run_finished")}
    assert ends == {unbegun.pk: "cancelled", running.pk: "terminated"}
    (told,) = listener.of("run_paused")
    assert (told["run_id"], told["status"]) == (paused.pk, "paused")
    (told,) = listener.of("run_resumed")
    assert (told["run_id"], told["status"]) == (paused.pk, "running")
    assert len(listener.of("run_created")) == 3
    assert all(told["workflow"] == counting.name for _, told in listener.told)


@workflow
async def lives_on(left: int) -> int:
    if left:
        continue_as_new(left - 1)
    return left


def test_each_run_of_a_chain_is_told(
    workflows: WorkflowTester, listener: Listener
) -> None:
    run = workflows.start(lives_on, 2)
    workflows.run_until_idle()
    assert run.result() == 0
    ends = [told["status"] for told in listener.of("run_finished")]
    assert ends == ["continued_as_new", "continued_as_new", "completed"]
    created = [told["run_id"] for told in listener.of("run_created")]
    assert set(created) == set(Run.objects.values_list("pk", flat=True))
    assert len(created) == 3


@workflow
async def parent() -> int:
    children = [start_child(counting.options(key="only one"), n) for n in range(2)]
    return sum([await child for child in children])


def test_children_are_told(workflows: WorkflowTester, listener: Listener) -> None:
    run = workflows.start(parent)
    workflows.advance("1h")
    assert run.result() == 0
    child = Run.objects.get(parent=run)
    created = [
        (told["run_id"], told["workflow"]) for told in listener.of("run_created")
    ]
    assert created == [(run.pk, parent.name), (child.pk, counting.name)]
    ended = [told["run_id"] for told in listener.of("run_finished")]
    assert ended == [child.pk, run.pk]


def test_retry_is_told(workflows: WorkflowTester, listener: Listener) -> None:
    run = workflows.start(failing)
    workflows.advance("1m")
    run.retry()
    workflows.advance("1m")
    (told,) = listener.of("run_retried")
    assert (told["run_id"], told["attempt"], told["status"]) == (run.pk, 2, "running")
    assert [each["status"] for each in listener.of("run_finished")] == ["failed"] * 2


def test_an_existing_run_is_not_told_as_created(
    workflows: WorkflowTester, listener: Listener
) -> None:
    for _ in range(2):
        start(counting.options(key="k"), 1)
    workflows.run_until_idle()
    assert len(listener.of("run_created")) == 1


@pytest.mark.django_db(transaction=True)
def test_callers_signals_are_sent_after_their_commit(listener: Listener) -> None:
    with rolled_back():
        start(counting, 1)
    with transaction.atomic():
        run = start(counting, 2)
        with transaction.atomic():
            run.terminate()
        assert listener.names == []
    assert listener.names == ["run_created", "run_finished"]
    start(counting, 3)
    assert listener.names[2:] == ["run_created"]


def test_rolled_back_start_is_not_told_in_a_test_either(
    workflows: WorkflowTester, listener: Listener
) -> None:
    with rolled_back():
        start(counting, 1)
    with transaction.atomic():
        start(counting, 2)
        announcements.send_held_back(transaction.get_connection())
        assert listener.names == []
    workflows.run_until_idle()
    assert len(listener.of("run_created")) == 1


def test_receiver_that_raises_harms_nothing(
    workflows: WorkflowTester, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**told: Any) -> None:
        raise RuntimeError("a broken receiver")

    for name in signals.__all__:
        getattr(signals, name).connect(broken)
    try:
        assert workflows.run(counting, 1) == 2
    finally:
        for name in signals.__all__:
            getattr(signals, name).disconnect(broken)
    assert "a broken receiver" in caplog.text
    assert listener.names[-1] == "run_finished"


def test_receiver_may_start_runs(workflows: WorkflowTester) -> None:
    def chain(run: Run, **told: Any) -> None:
        if run.workflow == counting.name:
            start(failing.options(key=f"after {run.pk}"))

    signals.run_finished.connect(chain)
    try:
        first = workflows.start(counting, 1)
        workflows.advance("1d")
    finally:
        signals.run_finished.disconnect(chain)
    assert Run.objects.failed().get().key == f"after {first.pk}"


def test_nothing_is_prepared_when_nobody_listens(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(announcements, "News", lambda *given: made.append(given))
    monkeypatch.setattr(
        "django_workflows.worker.owned.OwnedRun._note_step_end",
        lambda *given: made.append(given),
    )
    workflows.run(counting, 1)
    assert made == []
