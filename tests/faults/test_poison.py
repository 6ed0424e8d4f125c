"""Values that the database, the codec or the limits refuse harm nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from django.test import override_settings

from django_workflows import resume_hook, start
from django_workflows.errors import WorkflowRunFailedError
from django_workflows.models import Run, Step
from django_workflows.store import due
from django_workflows.store.unreadable import unreadable
from tests.faults import checks, workflows
from tests.faults.codecs import Fickle
from tests.faults.driver import World

pytestmark = pytest.mark.django_db(transaction=True)

NASTY = ["nul \0", "half a pair \ud800", "\U0001f600" * 10, "'; DROP TABLE --", "%s {}"]


@pytest.fixture
def fickle() -> Iterator[type[Fickle]]:
    """A codec under the test's control."""
    with override_settings(WORKFLOWS={"PAYLOAD_CODEC": "tests.faults.codecs.Fickle"}):
        yield Fickle
    Fickle.key, Fickle.known, Fickle.refused = b"1", {b"1"}, None


@pytest.mark.parametrize("token", NASTY)
def test_token_refused_by_the_database_fails_only_its_run(token: str) -> None:
    with World() as world:
        before, after = start(workflows.short, "a"), start(workflows.short, "c")
        run = start(workflows.claims_anything, "b", token)
        world.run(before, run, after)
        assert world.deaths == 0
        assert world.failures == []
    for other, account in ((before, "a"), (after, "c")):
        assert other.result() == [1, 5, 2]
        checks.check_log(other)
        checks.check_effects(other, account, [5])
    checks.check_log(run)
    if run.status == Run.Status.FAILED:
        with pytest.raises(WorkflowRunFailedError) as caught:
            run.result()
        assert caught.value.cause is not None
    else:
        assert run.result() is None


@pytest.mark.parametrize("atomic", [False, True], ids=["plain", "atomic"])
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize(
    ("what", "times"), [*((t, 1) for t in NASTY), ("x", 3_000_000)]
)
def test_what_a_step_says_harms_nobody(
    what: str, times: int, fails: bool, atomic: bool
) -> None:
    with World() as world:
        other = start(workflows.short, "a")
        run = start(workflows.talks, "b", what, times, fails, atomic)
        world.run(run, other)
        assert world.deaths == 0
    assert other.result() == [1, 5, 2]
    checks.check_log(run)
    checks.check_log(other)
    if times == 1:
        assert run.result() == (f"ValueError: {what}" if fails else what)
    else:
        assert run.result() == ("StepError" if fails else "PayloadTooLargeError")


def test_workflow_that_raises_a_long_text_fails_with_it() -> None:
    with World() as world:
        run = start(workflows.raises, "a", "half a pair \ud800 and a nul \0")
        world.run(run)
    with pytest.raises(WorkflowRunFailedError) as caught:
        run.result()
    assert str(caught.value.cause) == "half a pair \ud800 and a nul \0"
    checks.check_log(run)


def test_payload_sealed_with_an_unknown_key_blocks_only_its_run(
    fickle: type[Fickle],
) -> None:
    """The web server has been deployed with a new key, this worker has not."""
    with World() as world:
        run = start(workflows.listener, "a", 1)
        world.idle()
        fickle.key = b"2"
        resume_hook("a/inbox", "news")
        fickle.key = b"1"
        other = start(workflows.short, "b")
        world.run(other)
        assert world.deaths == 0
        assert not world.ended([run])
        run.refresh_from_db()
        assert "UnknownCodeError" in run.blocked_reason
        fickle.known |= {b"2"}
        world.run(run)
    assert run.result() == ["news"]
    checks.check_log(run)


def test_payload_with_an_unknown_key_to_an_owned_run_blocks_only_that(
    fickle: type[Fickle],
) -> None:
    with World() as world:
        (node,) = world.nodes
        run = start(workflows.holds_on, "a")
        node.reactor.round([])
        assert run.pk in node.reactor.owned
        fickle.key = b"2"
        resume_hook("a/inbox", "news")
        fickle.key = b"1"
        other = start(workflows.short, "b")
        world.run(other)
        assert world.deaths == 0
        run.refresh_from_db()
        assert "UnknownCodeError" in run.blocked_reason
        fickle.known |= {b"2"}
        world.run(run)
    assert run.result() == ["news", 1]
    checks.check_log(run)


def test_run_started_with_an_unknown_key_is_left_alone(fickle: type[Fickle]) -> None:
    fickle.key = b"2"
    run = start(workflows.short, "a")
    fickle.key = b"1"
    with World() as world:
        other = start(workflows.short, "b")
        world.run(other)
        assert world.deaths == 0
        run.refresh_from_db()
        assert run.blocked_reason
        fickle.known |= {b"2"}
        world.run(run)
    assert run.result() == [1, 5, 2]
    checks.check_log(run)
    checks.check_effects(run, "a", [5])


def test_offered_step_with_an_unknown_key_is_left_to_others(
    fickle: type[Fickle],
) -> None:
    with World() as world:
        (node,) = world.nodes
        fickle.key = b"2"
        fickle.known = {b"1", b"2"}
        run = start(workflows.elsewhere, "a")
        world.idle()
        assert run.steps.filter(status="pending").exists()
        fickle.key = b"1"
        fickle.known = {b"1"}
        node.reactor.queues = ("default", "elsewhere")
        other = start(workflows.short, "b")
        world.run(other)
        assert world.deaths == 0
        assert run.steps.filter(status="pending").exists()
        fickle.known = {b"1", b"2"}
        world.run(run)
    assert run.result() == 1
    checks.check_log(run)


@pytest.mark.parametrize("limit", [None, 2])
def test_steps_behind_those_with_an_unknown_key_have_their_turn(
    fickle: type[Fickle], limit: int | None
) -> None:
    """Of a few steps taken at a time, the first ones are not for this worker."""
    call = workflows.plain.options(max_concurrency=limit)
    with World() as world, patch.object(workflows, "plain", call):
        (node,) = world.nodes
        fickle.key = b"2"
        fickle.known = {b"1", b"2"}
        runs = [start(workflows.elsewhere, f"a{number}") for number in range(5)]
        world.idle()
        fickle.key = b"1"
        behind = start(workflows.elsewhere, "behind")
        world.idle()
        fickle.known = {b"1"}
        node.reactor.queues = queues = ("default", "elsewhere")
        with patch.object(node.executor, "room", return_value=2):
            for _ in range(3):
                world.turn(node)
            assert behind.result() == 1
            assert not due.look(queues).now
            assert not world.turn(node)
            offered = Step.objects.filter(status="pending", attempt=0)
            assert offered.count() == len(runs)
            fickle.known = {b"1", b"2"}
            assert due.look(queues).now
            world.run(*runs)
    assert [run.result() for run in runs] == [1] * 5
    assert world.deaths == 0


def test_unreadable_steps_are_looked_at_again_after_a_while(
    fickle: type[Fickle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of one of them is there again, that of the last one is not."""
    with World() as world:
        (node,) = world.nodes
        fickle.known = {b"1", b"2", b"3"}
        runs = {}
        for fickle.key in (b"2", b"3"):
            runs[fickle.key] = start(workflows.elsewhere, f"a{fickle.key!r}")
            world.idle()
        fickle.key, fickle.known = b"1", {b"1"}
        node.reactor.queues = queues = ("default", "elsewhere")
        world.idle()
        last = runs.pop(bytes(unreadable._sample[0])[1:2])
        ((key, other),) = runs.items()
        fickle.known = {b"1", key}
        assert not due.look(queues).now
        monkeypatch.setattr(unreadable, "_until", 0.0)
        assert due.look(queues).now
        world.run(other)
        assert not world.ended([last])
        fickle.known = {b"1", b"2", b"3"}
        world.run(last)
    assert [other.result(), last.result()] == [1, 1]


def test_codec_that_refuses_a_value_fails_only_its_run(fickle: type[Fickle]) -> None:
    fickle.refused = b"ababab"
    with World() as world:
        run = start(workflows.talks, "a", "ab", 3, False, False)
        other = start(workflows.short, "b")
        world.run(run, other)
        assert world.deaths == 0
    assert run.result() == "RuntimeError"
    assert other.result() == [1, 5, 2]
    checks.check_log(other)


def test_codec_that_refuses_a_successor_fails_only_its_run(
    fickle: type[Fickle],
) -> None:
    with World() as world:
        run = start(workflows.relay, "a", 2, 1, [])
        other = start(workflows.relay, "b", 2, 1, [])
        world.idle()
        resume_hook("a/inbox", "ab")
        resume_hook("b/inbox", "cd")
        fickle.refused = b'"ab"'
        world.answers["b/inbox"] = ["ef"]
        world.run(run, other)
        world.run(Run.objects.get(continued_from=other.pk))
        assert world.deaths == 0
    with pytest.raises(WorkflowRunFailedError, match="out of order"):
        run.result()
    assert other.result() == ["cd", "ef"]
    assert not Run.objects.filter(continued_from=run.pk).exists()
    checks.check_log(run)
    checks.check_log(other)
