"""New runs made of others: replays from the start, forks from a step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync

from django_workflows import (
    ChildWorkflowError,
    DuplicateRunError,
    HookConflictError,
    WorkflowRunNotFoundError,
    create_hook,
    get_workflow_metadata,
    resume_hook,
    set_attributes,
    sleep,
    start,
    start_child,
    step,
    uuid4,
    workflow,
)
from django_workflows.models import Event, Hook, Run
from django_workflows.testing import WorkflowTester
from tests.engine.transactions import rolled_back

ran: list[Any] = []
broken: set[str] = set()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ran.clear()
    broken.clear()


@step(max_retries=0)
def do(name: str) -> str:
    ran.append(name)
    if name in broken:
        raise ValueError(f"{name} is broken")
    return name.upper()


@workflow
async def in_sequence(*names: str) -> list[str]:
    return [await do(name) for name in names]


def snapshot(run: Run) -> Any:
    """All there is of a run."""
    return (
        Run.objects.filter(pk=run.pk).values().get(),
        list(Event.objects.filter(run=run).order_by("id").values()),
        list(run.steps.order_by("id").values()),
        list(Hook.objects.filter(run=run).values()),
    )


def completed(workflows: WorkflowTester, target: Any, *args: Any) -> Run:
    run = start(target, *args)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "completed", run.status
    return run


def finish(workflows: WorkflowTester, run: Run) -> Any:
    workflows.run_until_idle()
    workflows.advance("1h")
    run.refresh_from_db()
    assert not run.blocked_reason, run.blocked_reason
    workflows.assert_replays(run)
    events = run.history()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    times = [event.created_at for event in events]
    assert times == sorted(times)
    assert not run.events.filter(seq=None).exists()
    return run.result()


def step_ids(run: Run) -> list[str]:
    return [e.correlation_id for e in run.history() if e.type == "step_created"]


# -- replay ----------------------------------------------------------------------------


def test_a_replay_is_a_run_of_its_own(workflows: WorkflowTester) -> None:
    run = completed(workflows, in_sequence, "a", "b")
    before = snapshot(run)
    again = run.replay()
    assert again.pk != run.pk
    assert (again.args, again.status) == (("a", "b"), "pending")
    assert finish(workflows, again) == ["A", "B"]
    assert ran == ["a", "b", "a", "b"]
    assert snapshot(run) == before
    assert again.history()[0].data["replayed_from"] == run.pk
    assert not set(step_ids(run)) & set(step_ids(again))


def test_a_replay_has_the_options_but_not_the_key(workflows: WorkflowTester) -> None:
    run = labelling.options(
        key="k",
        queue="eu",
        priority=7,
        attributes={"customer": 1},
        timeout="2h",
    ).start()
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.attributes == {"customer": 1, "label": "x"}
    workflows.advance("1h")
    again = run.replay()
    assert (again.queue, again.priority, again.key) == ("eu", 7, None)
    assert again.attributes == {"customer": 1}
    assert again.timeout == run.timeout
    assert again.deadline_at is not None
    assert (again.deadline_at - workflows.now).total_seconds() == pytest.approx(7200)
    finish(workflows, again)
    assert again.attributes == run.attributes
    assert labelling.options(key="k").start() == run


@workflow
async def labelling() -> None:
    set_attributes(label="x")


@pytest.mark.parametrize("state", ["pending", "open", "failed", "terminated"])
def test_any_run_can_be_replayed(workflows: WorkflowTester, state: str) -> None:
    broken.add("b")
    run = start(napping, "a") if state == "open" else start(in_sequence, "a", "b")
    if state == "terminated":
        run.terminate()
    elif state != "pending":
        workflows.run_until_idle()
    before = snapshot(run)
    broken.clear()
    again = run.replay()
    assert snapshot(run) == before
    assert finish(workflows, again)


@workflow
async def napping(name: str) -> list[str]:
    first = await do(name)
    await sleep("10m")
    return [first, await do("z")]


def test_a_replay_in_a_transaction(workflows: WorkflowTester) -> None:
    run = completed(workflows, in_sequence, "a")
    with rolled_back():
        again = run.replay()
    assert not Run.objects.filter(pk=again.pk).exists()
    assert finish(workflows, async_to_sync(run.areplay)()) == ["A"]


@pytest.mark.parametrize("make", [Run.replay, lambda run: run.fork(1)])
def test_a_run_that_is_gone(workflows: WorkflowTester, make: Any) -> None:
    run = completed(workflows, in_sequence, "a")
    Run.objects.filter(pk=run.pk).delete()
    with pytest.raises(WorkflowRunNotFoundError):
        make(run)


# -- fork ------------------------------------------------------------------------------


def test_fork_from_a_step(workflows: WorkflowTester) -> None:
    run = completed(workflows, in_sequence, "a", "b", "c")
    before = snapshot(run)
    fork = run.fork(step_ids(run)[1])
    assert fork.pk != run.pk
    assert fork.status == "running"
    assert finish(workflows, fork) == ["A", "B", "C"]
    assert ran == ["a", "b", "c", "b", "c"]
    assert snapshot(run) == before
    created = fork.history()[0].data
    assert created["forked_from"] == run.pk
    assert fork.history()[created["until"] - 1].type == "step_started"


def test_a_fork_by_number(workflows: WorkflowTester) -> None:
    run = completed(workflows, in_sequence, "a", "b", "c")
    event = next(e for e in run.history() if e.correlation_id == step_ids(run)[2])
    assert event.seq is not None
    assert finish(workflows, run.fork(event.seq)) == ["A", "B", "C"]
    assert ran == ["a", "b", "c", "c"]


def test_a_fork_from_the_first_step_is_all_over_again(
    workflows: WorkflowTester,
) -> None:
    run = completed(workflows, in_sequence, "a", "b")
    for from_step in (1, 2, step_ids(run)[0]):
        ran.clear()
        fork = run.fork(from_step)
        assert fork.status == "pending"
        assert finish(workflows, fork) == ["A", "B"]
        assert ran == ["a", "b"]


def test_there_is_no_such_step(workflows: WorkflowTester) -> None:
    run = completed(workflows, in_sequence, "a", "b")
    with pytest.raises(ValueError, match=step_ids(run)[1]):
        run.fork("step_that_never_was")
    with pytest.raises(ValueError, match="1 to"):
        run.fork(99)
    assert Run.objects.count() == 1


def test_a_fork_of_an_open_run(workflows: WorkflowTester) -> None:
    run = start(napping, "a")
    workflows.run_until_idle()
    before = snapshot(run)
    fork = run.fork(step_ids(run)[0])
    later = run.fork(run.last_seq or 1)
    run.refresh_from_db()
    assert snapshot(run) == before
    latest = run.fork(run.last_seq)
    workflows.run_until_idle()
    assert ran == ["a", "a", "a"]
    workflows.advance("10m")
    for each in (run, fork, later, latest):
        assert finish(workflows, each) == ["A", "Z"]
    assert ran.count("z") == 4


def test_a_fork_of_a_failed_run(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = start(in_sequence, "a", "b", "c")
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    broken.clear()
    assert finish(workflows, run.fork(step_ids(run)[1])) == ["A", "B", "C"]
    run.refresh_from_db()
    assert run.status == "failed"


def test_a_fork_of_a_retried_run(workflows: WorkflowTester) -> None:
    broken.add("b")
    run = start(telling_attempts)
    workflows.run_until_idle()
    broken.clear()
    run.retry()
    assert finish(workflows, run) == [1, 2]
    void = next(e for e in run.history() if e.type == "step_failed")
    with pytest.raises(ValueError, match="void"):
        run.fork(void.seq or 0)
    fork = run.fork(step_ids(run)[-1])
    assert (fork.attempt, fork.epoch) == (2, 1)
    assert finish(workflows, fork) == [1, 2]
    broken.add("c")
    again = run.fork(step_ids(run)[-1])
    workflows.run_until_idle()
    broken.clear()
    again.refresh_from_db()
    again.retry()
    assert again.attempt == 3
    assert finish(workflows, again) == [1, 3]


@workflow
async def telling_attempts() -> list[int]:
    first = get_workflow_metadata().attempt
    await do("a")
    await do("b")
    await do("c")
    return [first, get_workflow_metadata().attempt]


def test_a_fork_survives_crashes(workflows: WorkflowTester) -> None:
    run = completed(workflows, by_chance)
    fork = run.fork(step_ids(run)[1])
    workflows.crash()
    workflows.run_until_idle()
    workflows.crash()
    first, second = finish(workflows, fork)
    assert first == run.result()[0]
    assert second != run.result()[1]


@workflow
async def by_chance() -> list[str]:
    first = str(uuid4())
    await do(first)
    second = str(uuid4())
    await do(second)
    return [first, second]


def test_hooks_without_a_token_get_a_new_one(workflows: WorkflowTester) -> None:
    run = start(with_a_door, None)
    workflows.advance("1s")
    (token,) = run.hooks.values_list("token", flat=True)
    fork = run.fork(step_ids(run)[0])
    (other,) = fork.hooks.values_list("token", flat=True)
    assert other != token
    resume_hook(other, "to the fork")
    resume_hook(token, "to the run")
    assert finish(workflows, fork) == [other, "A", "to the fork"]
    assert finish(workflows, run) == [token, "A", "to the run"]


@workflow
async def with_a_door(token: str | None) -> list[Any]:
    hook = create_hook(token)
    await sleep(1e-6)
    return [hook.token, await do("a"), await hook]


def test_a_token_that_the_original_holds(workflows: WorkflowTester) -> None:
    run = start(with_a_door, "door")
    workflows.run_until_idle()
    workflows.advance("1s")
    with pytest.raises(HookConflictError) as refusal:
        run.fork(step_ids(run)[0])
    assert (refusal.value.token, refusal.value.run_id) == ("door", run.pk)
    assert Run.objects.count() == 1
    resume_hook("door", 1)
    assert finish(workflows, run) == ["door", "A", 1]
    fork = run.fork(step_ids(run)[0])
    resume_hook("door", 2)
    assert finish(workflows, fork) == ["door", "A", 2]


def test_attributes_are_those_of_the_place(workflows: WorkflowTester) -> None:
    run = labelled.options(attributes={"customer": 1}).start()
    workflows.run_until_idle()
    fork = run.fork(step_ids(run)[1])
    with_the_first = {"customer": 1, "label": "first"}
    assert finish(workflows, fork) == [with_the_first, {**with_the_first, "label": "2"}]
    run.refresh_from_db()
    assert fork.attributes == run.attributes
    early = run.fork(1)
    assert early.attributes == {"customer": 1}


@workflow
async def labelled() -> list[dict[str, Any]]:
    set_attributes(label="first")
    await do("a")
    found = [get_workflow_metadata().attributes]
    await do("b")
    set_attributes(label="2")
    return [*found, get_workflow_metadata().attributes]


def test_a_fork_in_a_transaction(workflows: WorkflowTester) -> None:
    run = completed(workflows, in_sequence, "a", "b")
    with rolled_back():
        fork = run.fork(step_ids(run)[1])
    assert not Run.objects.filter(pk=fork.pk).exists()
    assert not Event.objects.filter(run_id=fork.pk).exists()
    fork = async_to_sync(run.afork)(step_ids(run)[1])
    assert finish(workflows, fork) == ["A", "B"]


def test_a_fork_can_be_forked(workflows: WorkflowTester) -> None:
    run = completed(workflows, in_sequence, *"abcde")
    for position in (3, 2, 4, 1):
        run = run.fork(step_ids(run)[position])
        assert finish(workflows, run) == [*"ABCDE"]
    assert ran == [*"abcde", *"de", *"cde", "e", *"bcde"]


@workflow
async def child(name: str) -> str:
    await sleep("10m")
    return await do(name)


@workflow
async def parent() -> list[Any]:
    handles = [start_child(child, "x"), start_child(child.options(priority=3), "y")]
    first = await do("a")
    return [first, *[await handle for handle in handles], await do("b")]


def test_children_without_an_outcome_are_started_anew(
    workflows: WorkflowTester,
) -> None:
    run = start(parent)
    workflows.run_until_idle()
    run.refresh_from_db()
    before = [snapshot(each) for each in (run, *run.children.all())]
    fork = run.fork(step_ids(run)[0])
    early = run.fork(run.last_seq)
    assert ran == ["a"]
    assert [snapshot(each) for each in (run, *run.children.all())] == before
    assert finish(workflows, early) == ["A", "X", "Y", "B"]
    assert finish(workflows, fork) == ["A", "X", "Y", "B"]
    assert finish(workflows, run) == ["A", "X", "Y", "B"]
    assert sorted(ran) == sorted("aaxyxyxybbb")  # one of the forks kept its first step
    assert sorted(early.children.values_list("priority", flat=True)) == [0, 3]
    assert {each.root_id for each in early.children.all()} == {early.pk}


def test_children_with_an_outcome_are_not(workflows: WorkflowTester) -> None:
    run = start(parent)
    workflows.advance("1h")
    fork = run.fork(step_ids(run)[1])
    assert finish(workflows, fork) == ["A", "X", "Y", "B"]
    assert sorted(ran) == sorted("axybb")
    assert not fork.children.exists()


@workflow
async def keyed_parent() -> list[Any]:
    handle = start_child(child.options(key="only one"), "x")
    return [await do("a"), await handle, await do("b")]


def test_a_childs_key_that_is_held(workflows: WorkflowTester) -> None:
    run = start(keyed_parent)
    workflows.run_until_idle()
    run.refresh_from_db()
    with pytest.raises(DuplicateRunError, match="only one"):
        run.fork(run.last_seq)
    assert Run.objects.count() == 2


def test_what_is_made_of_a_child_belongs_to_nobody(workflows: WorkflowTester) -> None:
    """The parent has one child, and is told of its end once."""
    run = start(waiting_for_one)
    workflows.run_until_idle()
    of_the_child = Run.objects.get(parent=run)
    made = [of_the_child.fork(2), of_the_child.replay()]
    workflows.advance("5m")
    made.append(of_the_child.fork(Run.objects.get(pk=of_the_child.pk).last_seq))
    for each in made:
        each.refresh_from_db()
        assert (each.parent_id, each.root_id, each.continued_from_id) == (None,) * 3
    assert Run.objects.get(parent=run) == of_the_child
    assert finish(workflows, run) == "X"
    types = [event.type for event in run.history()]
    assert types.count("child_completed") == 1
    assert [finish(workflows, each) for each in made] == ["X", "X", "X"]
    run.refresh_from_db()
    assert [event.type for event in run.history()] == types


@workflow
async def waiting_for_one() -> Any:
    return await start_child(child, "x")


@workflow
async def hourly(*names: str) -> list[str]:
    found = []
    for name in names:
        found.append(await do(name))
        await sleep("1h")
    return found


@pytest.mark.parametrize(
    "state", ["paused", "cancelled", "terminated", "timed_out", "retried"]
)
def test_a_fork_goes_on_whatever_became_of_the_run(
    workflows: WorkflowTester, state: str
) -> None:
    timeout = "90m" if state == "timed_out" else None
    run = hourly.options(timeout=timeout).start("a", "b")
    if state == "retried":
        broken.add("b")
    workflows.advance("1h")
    run.refresh_from_db()
    if state == "paused":
        run.pause()
    elif state == "cancelled":
        run.cancel()
    elif state == "terminated":
        run.terminate()
    elif state == "timed_out":
        workflows.advance("30m")
    else:
        broken.clear()
        run.retry()
    workflows.run_until_idle()
    before = snapshot(run)
    assert before[0]["status"] == ("running" if state == "retried" else state)
    ran.clear()
    fork = run.fork(step_ids(run)[1])
    assert fork.status == "running"
    if timeout:
        assert fork.deadline_at == workflows.now + timedelta(minutes=90)
    workflows.run_until_idle()
    assert ran == ["b"]
    assert snapshot(run) == before
    assert finish(workflows, fork) == ["A", "B"]


failures = [2]


@step
def failing_at_first() -> str:
    ran.append("try")
    if failures[0]:
        failures[0] -= 1
        raise ValueError("not yet")
    return "at last"


@workflow
async def with_a_flaky_step() -> list[str]:
    return [await do("a"), await failing_at_first(), await do("b")]


def test_a_fork_made_between_two_attempts_begins_its_step_anew(
    workflows: WorkflowTester,
) -> None:
    failures[0] = 4
    run = start(with_a_flaky_step)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.history()[-1].type == "step_retrying"
    fork = run.fork(run.last_seq)
    expected = ["A", "at last", "B"]
    assert finish(workflows, fork) == expected
    assert finish(workflows, run) == expected
    ids = {step_ids(each)[1] for each in (run, fork)}
    assert len(ids) == 2
    attempts = [each.steps.get(id=step_ids(each)[1]).attempt for each in (run, fork)]
    assert sum(attempts) == ran.count("try") == 6


@workflow
async def undoing() -> str:
    """Fails by what its fork may have copied: the error is that of the first step."""
    try:
        return await do("b")
    except ValueError:
        await do("undo")
        raise


@pytest.mark.parametrize("crash", [False, True])
def test_retry_of_a_fork_runs_the_failed_step_that_it_has_copied(
    workflows: WorkflowTester, crash: bool
) -> None:
    broken.add("b")
    run = start(undoing)
    workflows.run_until_idle()
    early = run.fork(step_ids(run)[1])
    late = run.fork(Run.objects.get(pk=run.pk).last_seq)
    workflows.run_until_idle()
    forks = [early, late, early.fork(step_ids(early)[1])]
    workflows.run_until_idle()
    broken.clear()
    before = snapshot(run)
    assert len({step_ids(each)[0] for each in (run, *forks)}) == 4
    for each in forks:
        ran.clear()
        each.refresh_from_db()
        assert each.status == "failed"
        each.retry()
        if crash:
            workflows.crash()
        workflows.run_until_idle()
        assert ran == ["b"]
        assert finish(workflows, each) == "B"
    assert snapshot(run) == before
    run.retry()
    assert finish(workflows, run) == "B"


@workflow
async def mourning() -> Any:
    try:
        return await start_child(in_sequence.options(delay="1m"), "b")
    except ChildWorkflowError:
        await do("undo")
        raise


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_retry_of_a_fork_is_told_again_of_a_child_of_the_original(
    workflows: WorkflowTester, how: str
) -> None:
    broken.add("b")
    run = start(mourning)
    workflows.run_until_idle()
    if how == "cancelled":
        run.children.get().cancel()
    workflows.advance("1m")
    fork = run.fork(Run.objects.get(pk=run.pk).last_seq)
    broken.clear()
    for attempt in (1, 2):
        workflows.advance("1m")
        fork.refresh_from_db()
        assert (fork.status, fork.attempt) == ("failed", attempt)
        assert isinstance(fork.error, ChildWorkflowError)
        workflows.assert_replays(fork)
        if attempt == 1:
            fork.retry()
    assert run.children.get().status == how
    assert not fork.children.exists()
    run.retry()
    workflows.advance("1m")
    run.refresh_from_db()
    assert run.result() == ["B"]


@pytest.mark.parametrize("end", ["cancel", "terminate", "time out"])
@pytest.mark.parametrize("from_step", [1, 2])
def test_a_fork_of_a_run_that_ended_before_it_began(
    workflows: WorkflowTester, end: str, from_step: int
) -> None:
    run = in_sequence.options(queue="nobody serves this", timeout="1h").start("a")
    if end == "time out":
        with patch.object(workflows, "_queues", lambda: ("default",)):
            workflows.advance("1h")
    else:
        getattr(run, end)()
    types = [event.type for event in run.history()]
    assert types[0] == "run_created"
    assert len(types) == 2
    fork = run.fork(from_step)
    assert finish(workflows, fork) == ["A"]
    assert fork.history()[-1].type == "run_completed"
    assert [event.type for event in run.history()] == types


def test_forks_of_forks_are_valid(workflows: WorkflowTester) -> None:
    """Each has one more seed than the run that it was made of."""
    run = start(in_sequence, "a", "b", "c", "d")
    workflows.run_until_idle()
    seed = Run._meta.get_field("seed")
    for number, length in enumerate((32, 64, 96), 1):
        run.refresh_from_db()
        assert len(seed.clean(bytes(run.seed), run)) == length
        calls = [each for each in run.history() if each.type == "step_created"]
        run = run.fork(from_step=calls[number].correlation_id)
        workflows.run_until_idle()
        assert run.result() == ["A", "B", "C", "D"]
