"""Closed runs are deleted when their time is over, and nothing else is."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_workflows import (
    continue_as_new,
    create_hook,
    resume_hook,
    sleep,
    start,
    start_child,
    step,
    workflow,
)
from django_workflows.errors import WorkflowRunNotFoundError
from django_workflows.models import Event, Hook, Run, Step
from django_workflows.store import retention, sweep
from django_workflows.store.inbox import insert_inbox
from django_workflows.store.retention import prune
from django_workflows.testing import WorkflowTester
from tests.app.models import Receipt

pytestmark = pytest.mark.django_db


@step(atomic=True)
def one() -> int:
    return 1


@workflow
async def kept_for_ever() -> int:
    with create_hook():
        return await one()


@workflow(retention="30d")
async def kept_for_a_month() -> int:
    return await one()


@workflow(retention="1h")
async def asleep() -> None:
    await sleep("365d")


def left() -> set[str]:
    return set(Run.objects.values_list("pk", flat=True))


def finished(
    workflows: WorkflowTester, definition: Any = kept_for_ever, **fields: Any
) -> Run:
    """A run that has completed; `fields` of its row are then set by force."""
    run = workflows.start(definition)
    workflows.run_until_idle()
    Run.objects.filter(pk=run.pk).update(**fields)
    run.refresh_from_db()
    assert run.is_closed
    return run


def test_run_goes_with_all_its_rows_when_its_retention_is_over(
    workflows: WorkflowTester,
) -> None:
    run = finished(workflows, kept_for_a_month)
    other = finished(workflows)
    assert run.retention == 30 * 86400
    workflows.advance("29d")
    assert prune() == 0
    workflows.advance("1d")
    workflows.advance("1s")
    assert Step.objects.filter(run=run).exists()
    assert prune() == 1
    assert left() == {other.pk}
    for model in (Event, Step, Hook):
        assert not model.objects.filter(run_id=run.pk).exists()
    assert other.result() == 1
    with pytest.raises(WorkflowRunNotFoundError):
        run.result()


def test_older_than_takes_runs_without_a_retention_of_their_own(
    workflows: WorkflowTester,
) -> None:
    short = finished(workflows, kept_for_ever.options(retention="1h"))
    run = finished(workflows)
    long = finished(workflows, kept_for_a_month)
    workflows.advance("10d")
    young = finished(workflows)
    assert prune(older_than="11d", dry_run=True) == 1
    assert prune(older_than="9d", dry_run=True) == 2
    assert left() == {short.pk, run.pk, long.pk, young.pk}
    assert prune(older_than="9d") == 2
    assert left() == {long.pk, young.pk}


def test_open_runs_stay(workflows: WorkflowTester) -> None:
    runs = [start(asleep), start(asleep.options(delay="90d"))]
    workflows.advance("60d")
    assert prune(older_than=0) == 0
    assert left() == {run.pk for run in runs}


def test_only_runs_of_one_workflow(workflows: WorkflowTester) -> None:
    run, other = finished(workflows), finished(workflows, kept_for_a_month)
    workflows.advance("60d")
    assert prune(older_than="1d", workflow=kept_for_ever) == 1
    assert left() == {other.pk}
    assert prune(older_than="1d", workflow=kept_for_a_month.name) == 1
    assert run.pk not in left()


def test_key_and_tokens_are_free_afterwards(workflows: WorkflowTester) -> None:
    keyed = kept_for_a_month.options(key="k")
    first = finished(workflows, keyed)
    assert start(keyed).pk == first.pk
    workflows.advance("31d")
    assert prune() == 1
    second = start(keyed)
    assert second.pk != first.pk
    workflows.run_until_idle()
    assert second.result() == 1


@workflow(retention="1d")
async def with_a_keyed_child() -> Any:
    child = kept_for_a_month.options(key="child's", retention="1d")
    return await start_child(child)


def test_keys_of_children_are_free_afterwards(workflows: WorkflowTester) -> None:
    first = finished(workflows, with_a_keyed_child.options(key="parent's"))
    workflows.advance("2d")
    assert prune() == 2
    second = finished(workflows, with_a_keyed_child.options(key="parent's"))
    assert second.pk != first.pk
    assert second.result() == 1
    assert second.children.get().key == "child's"


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_batches_are_transactions_of_their_own_oldest_first(
    workflows: WorkflowTester, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for _ in range(7):
        runs.append(finished(workflows))
        workflows.advance("1m")
    workflows.advance("1d")
    gone: list[set[str]] = []
    delete = retention._delete_now

    def delete_and_look(*given: Any) -> int:
        count = delete(*given)
        gone.append({run.pk for run in runs} - left())
        return count

    monkeypatch.setattr(retention, "_delete_now", delete_and_look)
    assert prune(older_than="1h", batch=batch) == 7
    sizes = [len(pks) for pks in gone]
    assert sizes == [min(7, n) for n in range(batch, 7 + batch, batch)]
    for pks in gone:
        assert pks == {run.pk for run in runs[: len(pks)]}


def test_long_logs_make_small_batches(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 15)
    for _ in range(5):
        finished(workflows)
    workflows.advance("1d")
    runs = Run.objects.all()
    length = runs[0].last_seq
    assert length < 15 < 3 * length
    batch = list(retention._first(runs, None, 500))
    assert len(batch) == 15 // length
    monkeypatch.setattr(retention, "BATCH_ROWS", 1)
    assert len(list(retention._first(runs, None, 500))) == 1
    assert prune(older_than="1h") == 5


# --- what refers to other runs --------------------------------------------------------


def test_parent_stays_while_a_child_is_open(workflows: WorkflowTester) -> None:
    parent = finished(workflows)
    child = start(asleep)
    grandchild = finished(workflows, parent_id=child.pk, root_id=parent.pk)
    Run.objects.filter(pk=child.pk).update(parent=parent, root=parent)
    workflows.advance("60d")
    assert prune(older_than="1d") == 1
    assert left() == {parent.pk, child.pk}
    workflows.advance("330d")
    child.refresh_from_db()
    assert child.is_closed
    assert prune(older_than="1d") == 2
    assert grandchild.pk not in left()


def test_link_to_a_deleted_parent_is_no_dangling_one(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    parent = finished(workflows)
    long = kept_for_ever.options(retention="90d")
    children = [
        finished(workflows, long, parent_id=parent.pk, root_id=parent.pk)
        for _ in range(9)
    ]
    workflows.advance("60d")
    assert prune(older_than="1d") == 1
    for child in children:
        child.refresh_from_db()
        assert (child.parent, child.root) == (None, None)
        assert child.result() == 1


@workflow(name="retention.link")
async def link(left: int, *, stays: bool) -> int:
    if left:
        continue_as_new(left - 1, stays=stays)
    if stays:
        await sleep("365d")
    return left


def chain(workflows: WorkflowTester, length: int, *, stays: bool) -> list[Run]:
    """Runs each of which continues the one before it; the last may stay open."""
    first = start(link, length - 1, stays=stays)
    workflows.run_until_idle()
    runs = [first]
    while following := Run.objects.filter(continued_from=runs[-1]).first():
        runs.append(following)
    assert len(runs) == length
    return runs


def links() -> dict[str, str | None]:
    return dict(Run.objects.values_list("pk", "continued_from_id"))


def test_first_run_of_an_open_chain_leads_to_its_last(
    workflows: WorkflowTester,
) -> None:
    runs = chain(workflows, 6, stays=True)
    workflows.advance("60d")
    assert prune(older_than="1d") == 3
    first, before, last = runs[0].pk, runs[4].pk, runs[5].pk
    # The last but one is what an open run refers to, whose row is its worker's.
    assert links() == {first: None, before: first, last: before}
    assert prune(older_than="1d") == 0
    workflows.advance("306d")
    assert runs[0].result() == 0
    assert prune(older_than="10d") == 1
    assert links() == {first: None, last: first}
    assert runs[0].result() == 0
    workflows.advance("10d")
    assert prune(older_than="10d") == 2
    assert left() == set()


def test_whole_chain_goes_at_once_when_all_of_it_is_over(
    workflows: WorkflowTester,
) -> None:
    chain(workflows, 5, stays=False)
    workflows.advance("60d")
    assert prune(older_than="1d", batch=2) == 5


def test_continued_run_stays_while_something_is_on_its_way_to_the_next(
    workflows: WorkflowTester,
) -> None:
    runs = chain(workflows, 3, stays=False)
    insert_inbox(connection, runs[1].pk, "cancel_requested")
    workflows.advance("60d")
    assert prune(older_than="1d") == 1
    assert left() == {runs[0].pk, runs[1].pk}
    # Nobody is left to be told.
    sweep.sweep(sweep.DeadWatch())
    assert prune(older_than="1d") == 2


def test_run_that_a_row_of_the_project_protects_stays(
    workflows: WorkflowTester, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [finished(workflows) for _ in range(4)]
    Receipt.objects.create(run=runs[1])
    workflows.advance("60d")
    assert prune(older_than="1d") == 3
    assert left() == {runs[1].pk}
    assert runs[1].result() == 1
    assert f"run {runs[1].pk} is kept" in caplog.text


# --- who prunes -----------------------------------------------------------------------


def test_workers_prune_by_themselves_a_little_now_and_then(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_OF_WORKERS", 2)
    for days in (1, 1, 2, 3, 3):
        finished(workflows, kept_for_ever.options(retention=f"{days}d"))
    kept = finished(workflows)
    workflows.advance("60d")
    watch = sweep.DeadWatch()
    sizes = []
    for _ in range(4):
        sweep.sweep(watch)
        sizes.append(len(left()))
    assert sizes == [4, 2, 1, 1]
    assert left() == {kept.pk}
    finished(workflows, kept_for_ever.options(retention="0s"))
    workflows.advance("1s")
    sweep.sweep(watch)
    assert len(left()) == 2
    watch.next_prune = 0.0
    sweep.sweep(watch)
    assert left() == {kept.pk}


def test_workers_get_past_runs_that_they_cannot_delete(
    workflows: WorkflowTester,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(retention, "BATCH_OF_WORKERS", 2)
    runs = []
    for _ in range(6):
        runs.append(finished(workflows, kept_for_ever.options(retention="1d")))
        workflows.advance("1m")
    for run in runs[:4]:
        Receipt.objects.create(run=run)
    workflows.advance("60d")
    assert retention.prune_some() == 2
    assert left() == {run.pk for run in runs[:4]}
    assert "is kept" not in caplog.text  # it would be said every minute
    monkeypatch.setattr(retention, "LOOKS_OF_WORKERS", 1)
    assert retention.prune_some() == 0


def test_look_for_what_is_over_costs_little(workflows: WorkflowTester) -> None:
    for _ in range(3):
        finished(workflows)
        finished(workflows, kept_for_a_month)
    with CaptureQueriesContext(connection) as queries:
        assert retention.prune_some() == 0
    assert len(queries) == 4  # the time, two looks for retentions, one for runs


def test_events_of_deleted_runs_are_strays(workflows: WorkflowTester) -> None:
    run = finished(workflows)
    workflows.advance("60d")
    prune(older_than="1d")
    insert_inbox(connection, run.pk, "cancel_requested")
    waiting = start(asleep)
    insert_inbox(connection, waiting.pk, "wake_requested")
    assert sweep.delete_strays(connection) == 1
    assert list(Event.objects.filter(seq=None).values_list("run_id")) == [(waiting.pk,)]


def run_prune(*arguments: str) -> str:
    out = StringIO()
    call_command("workflows", "prune", *arguments, stdout=out)
    return out.getvalue()


def test_command(workflows: WorkflowTester) -> None:
    for _ in range(3):
        finished(workflows)
    workflows.advance("31d")
    assert run_prune() == "0 runs deleted.\n"
    assert run_prune("--older-than", "30d", "--dry-run") == "3 runs would be deleted.\n"
    assert json.loads(run_prune("--older-than", "30d", "--dry-run", "--json")) == {
        "runs": 3,
        "dry_run": True,
    }
    assert run_prune("--older-than", "30d", "--workflow", "another") == (
        "0 runs deleted.\n"
    )
    assert run_prune("--older-than", "30d", "--batch", "2") == "3 runs deleted.\n"


@pytest.mark.parametrize(
    "wrong", [("--older-than", "a while"), ("--older-than", "-1d"), ("--batch", "0")]
)
def test_command_refuses_nonsense(wrong: tuple[str, str]) -> None:
    with pytest.raises(CommandError):
        run_prune(f"{wrong[0]}={wrong[1]}")


def test_hook_of_an_open_run_survives_pruning(workflows: WorkflowTester) -> None:
    @workflow(name="retention.waits")
    async def waits() -> Any:
        return await create_hook(token="retention")

    run = start(waits)
    workflows.run_until_idle()
    finished(workflows)
    workflows.advance("60d")
    assert prune(older_than="1d") == 1
    resume_hook("retention", 5)
    workflows.run_until_idle()
    assert run.result() == 5
