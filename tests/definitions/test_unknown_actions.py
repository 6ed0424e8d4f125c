"""Actions that a worker does not know are left to one that does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from django_workflows import definitions
from django_workflows.definitions import (
    DefinedWorkflow,
    StepDefinition,
    action,
    register,
    start,
)
from django_workflows.definitions import actions as actions_here
from django_workflows.definitions.actions import find_action
from django_workflows.definitions.classes import classes
from django_workflows.definitions.interpreter import ACTION, run_definition
from django_workflows.models import Run, Step
from django_workflows.store import due
from django_workflows.store.situations import waiting_for
from django_workflows.store.timeline import timeline
from django_workflows.testing import WorkflowTester
from tests.definitions.conftest import Diary

pytestmark = pytest.mark.django_db


@contextmanager
def without(workflows: WorkflowTester, *names: str) -> Iterator[None]:
    """Another worker takes over, whose code lacks some actions."""
    with patch.dict(actions_here._registered):
        for name in names:
            del actions_here._registered[name]
        workflows.crash()
        yield
    workflows.crash()


def define(*steps: dict[str, Any], definition_id: str = "orders") -> str:
    return register({"id": definition_id, "steps": list(steps)}).id


def step_rows(run: Run) -> list[dict[str, Any]]:
    return [dict(row) for row in Step.objects.filter(run=run).values()]


def everything_of(run: Run) -> list[Any]:
    return [
        Run.objects.filter(pk=run.pk).values().get(),
        step_rows(run),
        list(run.events.values()),
    ]


def test_an_action_is_left_to_a_worker_that_knows_it(
    workflows: WorkflowTester, diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    define({"id": "first", "action": "one"}, {"id": "pay", "action": "charge_card"})
    run = start("orders")
    with without(workflows, "charge_card"):
        workflows.run_until_idle()
        assert diary.names == ["one"]
        (row,) = Step.objects.filter(run=run, status="pending")
        assert (row.name, row.attempt) == (f"{ACTION}:charge_card@orders", 0)
        assert "no action 'charge_card'" in caplog.text
        run.refresh_from_db()
        assert waiting_for(run, timeline(run)) == (
            "Waiting for step pay to be taken by a worker of queue default that knows "
            "the action charge_card, which this process does not."
        )
        before = everything_of(run)
        workflows.advance("2d")
        assert everything_of(run) == before
        assert due.look(("default",)) == due.Due(now=False, wait=None)
        run.refresh_from_db()
        assert (run.status, run.blocked_reason) == ("running", "")
    assert waiting_for(run, timeline(run)).endswith(
        "by a worker of queue default that knows the action charge_card."
    )
    workflows.run_until_idle()
    assert diary.names == ["one", "charge_card"]
    assert run.result() == {"first": None, "pay": None}
    workflows.assert_replays(run)


def test_run_tells_which_action_nobody_knows(workflows: WorkflowTester) -> None:
    define({"id": "pay", "action": "chargeCard"})
    content = definitions.get_definition("orders").content()  # type: ignore[union-attr]
    with (
        without(workflows, "charge_card"),
        pytest.raises(RuntimeError, match="knows the action 'charge_card'"),
    ):
        workflows.run(run_definition, "orders", content, {})


def test_a_next_attempt_is_left_as_well(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.failing["charge_card"] = 1
    pay = {"id": "pay", "action": "charge_card", "maxRetries": 1, "retryDelay": "1h"}
    define(pay)
    run = start("orders")
    workflows.run_until_idle()
    with without(workflows, "charge_card"):
        workflows.advance("2d")
        (row,) = step_rows(run)
        assert (row["status"], row["attempt"]) == ("pending", 1)
        run.refresh_from_db()
        said = waiting_for(run, timeline(run))
        assert said.startswith("Waiting for step pay, whose attempt 2, due at 20")
        assert said.endswith(
            ", is to be taken by a worker of queue default that knows the action "
            "charge_card, which this process does not."
        )
    assert "that knows" not in waiting_for(run, timeline(run))
    workflows.run_until_idle()
    assert diary.names == ["charge_card", "charge_card"]
    assert definitions.status(run.pk)["stepResults"]["pay"]["retries"] == 1  # type: ignore[index]


def test_an_error_branch_is_left_as_well(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.failing["one"] = 1
    fails = {"id": "fails", "action": "one", "onError": "branch"}
    define(fails | {"errorBranch": "handle_failure"})
    run = start("orders")
    with without(workflows, "handle_failure"):
        workflows.advance("1d")
        assert diary.names == ["one"]
    workflows.run_until_idle()
    assert diary.names == ["one", "handle_failure"]
    assert run.result() == {"handle_failure": None}


def test_a_method_of_another_class_is_another_action(
    workflows: WorkflowTester,
) -> None:
    class Orders(DefinedWorkflow):
        id = "orders"
        steps = (StepDefinition(id="tell", action="tellThem"),)

        def tell_them(self, params: Any) -> str:
            return "orders"

    class Others(DefinedWorkflow):
        id = "others"
        steps = (StepDefinition(id="tell", action="tell_them"),)

        def tell_them(self, params: Any) -> str:
            return "others"

    run, other = start("orders"), start("others")
    with patch.dict(classes._by_id):
        del classes._by_id["orders"]
        workflows.crash()
        workflows.advance("1d")
        assert other.result() == {"tell": "others"}
        (row,) = step_rows(run)
        assert (row["status"], row["attempt"]) == ("pending", 0)
    workflows.run_until_idle()
    assert run.result() == {"tell": "orders"}


@pytest.mark.parametrize("written", ["chargeByCard", "charge_by_card", "ChargeByCard"])
@pytest.mark.parametrize("registered", ["chargeByCard", "charge_by_card"])
def test_names_in_either_case_are_known(
    workflows: WorkflowTester, registered: str, written: str
) -> None:
    def charge(params: Any) -> str:
        return "charged"

    action(registered)(charge)
    assert find_action("orders", written) is charge
    define({"id": "pay", "action": written})
    run = start("orders")
    with without(workflows, registered):
        workflows.run_until_idle()
        assert [row["status"] for row in step_rows(run)] == ["pending"]
    workflows.run_until_idle()
    assert run.result() == {"pay": "charged"}


@pytest.mark.parametrize("owner", ["orders", "@", "a@b:c", "Ö\n", "x" * 255])
@pytest.mark.parametrize("name", ["pay", "a@b", "a:b@c", "\t", "%s '\"\\", "ö" * 255])
def test_odd_and_long_names(workflows: WorkflowTester, name: str, owner: str) -> None:
    action(name)(lambda params: "done")
    define({"id": "odd", "action": name}, definition_id=owner)
    run = start(owner)
    with without(workflows, name):
        workflows.run_until_idle()
        assert [row["status"] for row in step_rows(run)] == ["pending"]
        assert not due.look(("default",)).now
    assert due.look(("default",)).now
    workflows.run_until_idle()
    assert run.result() == {"odd": "done"}


def test_rows_of_earlier_code_go_on(workflows: WorkflowTester) -> None:
    """Their names do not tell the action: who takes one has to know it."""
    define({"id": "pay", "action": "charge_card"})
    run = start("orders")
    with without(workflows, "charge_card"):
        workflows.run_until_idle()
    (row,) = run.steps.all()
    row.name = ACTION
    row.options = row.options.replace(', "action": "charge_card@orders"', "")
    assert "charge_card" not in row.options
    row.save()
    workflows.run_until_idle()
    assert run.result() == {"pay": None}


def test_what_is_built_in_is_known_everywhere(workflows: WorkflowTester) -> None:
    define({"id": "meet", "action": "noop"})
    run = start("orders")
    workflows.run_until_idle()
    assert [row["name"] for row in step_rows(run)] == [ACTION]
    assert run.result() == {"meet": None}
