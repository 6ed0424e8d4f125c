"""Versions of a workflow side by side, and workflows under former names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_workflows import (
    DuplicateRunError,
    InvalidRunStateError,
    WorkflowNotRegisteredError,
    continue_as_new,
    get_workflow_metadata,
    sleep,
    start,
    start_child,
    start_many,
    step,
    workflow,
)
from django_workflows.models import Run, Step
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import registry
from django_workflows.testing import WorkflowTester
from tests.engine.deploys import Deploys, deploy

__all__ = ["deploy"]


def made(name: str, says: Any = None, **options: Any) -> Any:
    """A definition to deploy: a workflow that sleeps an hour and says who it is."""

    def define() -> Workflow[..., Any]:
        async def code(value: int = 0) -> Any:
            await sleep("1h")
            return says or name

        return workflow(name=name, **options)(code)

    return define


def version(number: str) -> Any:
    return made("shop.order", f"version {number}", version=number)


# -- versions -------------------------------------------------------------------------


def test_runs_are_pinned_to_the_version_they_began_with(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    deploy(version("1"))
    first = start("shop.order")
    workflows.run_until_idle()
    waiting = start("shop.order")  # started before the deploy, begun after it
    deploy(version("1"), version("2"))
    second = start("shop.order")
    workflows.advance("2h")
    assert [run.version for run in (first, waiting, second)] == ["1", "1", "2"]
    assert first.result() == waiting.result() == "version 1"
    assert second.result() == "version 2"


@pytest.mark.parametrize(
    ("numbers", "newest"),
    [
        (["9", "10"], "10"),
        (["10", "9"], "10"),
        (["", "1"], "1"),
        (["1.10", "1.9"], "1.10"),
        (["2024-11-01", "2024-2-1"], "2024-11-01"),
    ],
)
def test_start_by_name_takes_the_newest(
    workflows: WorkflowTester, deploy: Deploys, numbers: list[str], newest: str
) -> None:
    deploy(*map(version, numbers))
    assert start("shop.order").version == newest
    assert [run.version for run in start_many("shop.order", [(1,)])] == [newest]


def test_a_version_may_be_a_number(deploy: Deploys) -> None:
    deploy(made("counted", version=7))
    assert start("counted").version == "7"


def test_start_of_a_version_itself_takes_that_one(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    old, _ = deploy(version("1"), version("2"))
    assert workflows.run(old) == "version 1"


def test_a_worker_leaves_versions_alone_that_it_does_not_know(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    deploy(version("1"))
    begun = start("shop.order")
    workflows.run_until_idle()
    not_begun = start("shop.order")
    deploy(version("2"))
    before = [
        Run.objects.filter(pk=run.pk).values().get() for run in (begun, not_begun)
    ]
    workflows.advance("2d")
    after = [Run.objects.filter(pk=run.pk).values().get() for run in (begun, not_begun)]
    assert after == before
    assert [event.type for event in begun.history()][-1] == "wait_created"
    with pytest.raises(WorkflowNotRegisteredError, match="Known versions: 2"):
        workflows.assert_replays(begun)
    deploy(version("1"), version("2"))
    workflows.advance("1h")
    assert begun.result() == not_begun.result() == "version 1"


@step(queue="elsewhere")
def renamed_since(text: str) -> str:
    return text.upper()


def test_a_step_on_offer_is_left_to_workers_that_know_it(
    workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def define() -> Workflow[..., Any]:
        async def code() -> str:
            return await renamed_since("kept")

        return workflow(name="shop.offering")(code)

    run = start(define())
    with monkeypatch.context() as patch:
        patch.setattr(workflows, "_queues", lambda: ("default",))
        workflows.run_until_idle()
    before = Step.objects.filter(run=run).values().get()
    assert (before["status"], before["attempt"]) == ("pending", 0)
    with monkeypatch.context() as patch:
        patch.delitem(registry._steps, renamed_since.name)
        workflows.crash()
        workflows.advance("2d")
        assert Step.objects.filter(run=run).values().get() == before
        run.refresh_from_db()
        assert (run.status, run.blocked_reason) == ("running", "")
    workflows.run_until_idle()
    assert run.result() == "KEPT"


def test_code_sees_its_own_version(workflows: WorkflowTester, deploy: Deploys) -> None:
    def define() -> Workflow[..., Any]:
        async def code() -> Any:
            facts = get_workflow_metadata()
            return (facts.workflow_name, facts.version)

        return workflow(name="shop.order", version="7")(code)

    deploy(define)
    assert workflows.run("shop.order") == ("shop.order", "7")


def test_a_key_is_held_for_all_versions(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    old, new = deploy(version("1"), version("2"))
    first = old.options(key="k").start()
    assert new.options(key="k").start() == first


def test_runs_of_all_versions_are_found(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    old, new = deploy(version("1"), version("2"))
    runs = {old.start(), new.start()}
    start_other = made("other")().start()
    for target in (old, new, "shop.order"):
        assert set(Run.objects.for_workflow(target)) == runs
    assert list(Run.objects.for_workflow("other")) == [start_other]
    assert not Run.objects.for_workflow("unknown").exists()


# -- former names ---------------------------------------------------------------------

OLD = made("accounts.onboard", "old code")
RENAMED = made("shop.onboard", "new code", aliases=["accounts.onboard"])


def test_runs_under_the_old_name_are_run_by_the_renamed_function(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    deploy(OLD)
    begun = start("accounts.onboard")
    workflows.run_until_idle()
    not_begun = start("accounts.onboard")
    deploy(RENAMED)
    workflows.assert_replays(begun)
    workflows.advance("2h")
    assert begun.result() == not_begun.result() == "new code"
    begun.refresh_from_db()
    assert begun.workflow == "accounts.onboard"


def test_without_the_alias_they_wait(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    deploy(OLD)
    run = start("accounts.onboard")
    workflows.run_until_idle()
    deploy(made("shop.onboard"))
    workflows.advance("2h")
    with pytest.raises(WorkflowNotRegisteredError, match=r"Known: shop\.onboard"):
        workflows.assert_replays(run)
    deploy(RENAMED)
    workflows.advance("1h")
    assert run.result() == "new code"


def test_start_by_the_old_name(workflows: WorkflowTester, deploy: Deploys) -> None:
    deploy(RENAMED)
    run = start("accounts.onboard")
    assert run.workflow == "shop.onboard"
    (many,) = start_many("accounts.onboard", [(1,)])
    assert many.workflow == "shop.onboard"
    workflows.advance("1h")
    assert run.result() == many.result() == "new code"


def test_runs_are_found_under_all_names(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    deploy(OLD)
    old = start("accounts.onboard")
    (renamed,) = deploy(RENAMED)
    new = start("shop.onboard")
    for target in (renamed, "shop.onboard", "accounts.onboard"):
        assert set(Run.objects.for_workflow(target)) == {old, new}
    assert set(Run.objects.open().for_workflow(renamed).failed()) == set()


def test_a_key_held_under_the_old_name_is_held(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    (old_code,) = deploy(OLD)
    old = old_code.options(key="k").start(1)
    workflows.run_until_idle()
    (renamed,) = deploy(RENAMED)
    assert renamed.options(key="k").start(2) == old
    with pytest.raises(DuplicateRunError) as caught:
        renamed.options(key="k", on_conflict="reject").start()
    assert caught.value.run_id == old.pk
    restarting = renamed.options(key="k", on_conflict="restart_closed")
    assert restarting.start() == old
    workflows.advance("1h")
    new = restarting.start()
    assert new != old
    assert renamed.options(key="k").start() == new
    assert renamed.options(key="other").start() not in (old, new)


def test_an_existing_run_under_the_old_name_is_terminated_for_a_new_one(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    (old_code,) = deploy(OLD)
    old = old_code.options(key="k").start()
    workflows.run_until_idle()
    (renamed,) = deploy(RENAMED)
    new = renamed.options(key="k", on_conflict="terminate_existing").start()
    old.refresh_from_db()
    assert old.status == "terminated"
    assert (new.workflow, new.pk != old.pk) == ("shop.onboard", True)


def test_a_start_without_a_key_looks_for_none(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    (renamed,) = deploy(RENAMED)
    assert renamed.start() != renamed.start()


def test_a_retry_does_not_take_a_key_that_a_run_under_the_new_name_holds(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    (old_code,) = deploy(OLD)
    old = old_code.options(key="k").start()
    workflows.run_until_idle()
    old.cancel()
    workflows.run_until_idle()
    (renamed,) = deploy(RENAMED)
    new = renamed.options(key="k", on_conflict="restart_closed").start()
    assert new != old
    with pytest.raises(InvalidRunStateError, match="holds its key 'k'"):
        old.retry()
    workflows.advance("1h")
    for run in (old, new):
        run.refresh_from_db()
    assert (old.status, new.status) == ("cancelled", "completed")


def chain(name: str, **options: Any) -> Any:
    def define() -> Workflow[..., Any]:
        async def code(left: int = 1) -> Any:
            await sleep("1h")
            if left:
                continue_as_new(left - 1)
            return get_workflow_metadata().version

        return workflow(name=name, **options)(code)

    return define


def test_a_chain_keeps_its_name_and_version(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    deploy(chain("accounts.watch", version="1"))
    run = start("accounts.watch", 2)
    workflows.run_until_idle()
    (renamed, _) = deploy(
        chain("shop.watch", version="1", aliases=["accounts.watch"]),
        chain("shop.watch", version="2"),
    )
    workflows.advance("4h")
    assert run.result() == "1"
    runs = Run.objects.for_workflow(renamed)
    assert {(run.workflow, run.version) for run in runs} == {("accounts.watch", "1")}
    assert runs.count() == 3


def test_children_by_the_old_name(workflows: WorkflowTester, deploy: Deploys) -> None:
    def define() -> Workflow[..., Any]:
        async def code() -> Any:
            return await start_child("accounts.onboard")

        return workflow(name="shop.parent")(code)

    deploy(OLD, define)
    run = start("shop.parent")
    workflows.run_until_idle()
    deploy(RENAMED, define)
    workflows.assert_replays(run)
    workflows.advance("1h")
    assert run.result() == "new code"
    assert workflows.run("shop.parent") == "new code"
    children = Run.objects.filter(parent__isnull=False).order_by("created_at", "id")
    assert [run.workflow for run in children] == ["accounts.onboard", "shop.onboard"]


def test_replaying_a_run_takes_the_name_and_version_of_today(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    deploy(OLD)
    run = start("accounts.onboard")
    deploy(made("shop.onboard", version="2", aliases=["accounts.onboard"]), OLD)
    again = run.replay()
    assert (again.workflow, again.version) == ("shop.onboard", "2")


def test_renamed_and_in_a_new_version(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    """Runs of the old name stay with the version that keeps it as an alias."""
    deploy(OLD)
    old = start("accounts.onboard")
    workflows.run_until_idle()
    second = made("shop.onboard", "version 2", version="2")
    deploy(RENAMED, second)
    new = start("shop.onboard")
    workflows.advance("1h")
    assert (old.result(), new.result()) == ("new code", "version 2")
    assert set(Run.objects.for_workflow("accounts.onboard")) == {old, new}


# -- what the decorator refuses -------------------------------------------------------


async def code() -> None:
    await asyncio.sleep(0)


def test_aliases_as_one_text_are_refused() -> None:
    with pytest.raises(TypeError, match="list of names"):
        workflow(aliases="accounts.onboard")


@pytest.mark.parametrize(
    "options",
    [
        {"aliases": [""]},
        {"aliases": ["x" * 256]},
        {"name": "a\0b"},
        {"version": "x" * 65},
        {"version": " "},
    ],
)
def test_names_that_could_not_be_stored_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="workflow"):
        workflow(**options)


def test_names_that_differ_in_case_only_are_other_code(
    workflows: WorkflowTester, deploy: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MySQL and MariaDB hold them to be equal, unless they are told otherwise."""
    [order] = deploy(version("1"))
    run, other = order.start(), start(made("offering")())
    Run.objects.filter(pk=run.pk).update(workflow="shop.Order")
    workflows.run_until_idle()
    run.refresh_from_db()
    assert (run.status, run.last_seq) == ("pending", 1)
    other.refresh_from_db()
    assert other.status == "running"
    with monkeypatch.context() as patch:
        patch.setattr(workflows, "_queues", lambda: ("default",))
        away = start(workflow(name="shop.away")(calls_away))
        workflows.run_until_idle()
    Step.objects.filter(run=away).update(name=renamed_since.name.upper())
    workflows.run_until_idle()
    assert Step.objects.get(run=away).status == "pending"


async def calls_away() -> str:
    return await renamed_since("kept")
