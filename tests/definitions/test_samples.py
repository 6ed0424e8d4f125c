"""The samples of `workflow.do`: its definitions as JSON, unchanged, with our calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_workflows import WorkflowRunFailedError, definitions
from django_workflows.definitions import DefinedWorkflow, action
from django_workflows.testing import WorkflowTester
from tests.definitions.conftest import Diary

pytestmark = pytest.mark.django_db

ORDER = json.loads("""{
  "id": "order-processing",
  "name": "Process Customer Order",
  "steps": [
    { "id": "validate", "action": "validatePayment" },
    { "id": "reserve", "action": "reserveInventory", "dependsOn": ["validate"] },
    { "id": "charge", "action": "chargeCard", "dependsOn": ["reserve"],
      "maxRetries": 3 },
    { "id": "fulfill", "action": "fulfillOrder", "dependsOn": ["charge"] },
    { "id": "notify", "action": "sendConfirmation", "dependsOn": ["fulfill"] }
  ]
}""")
FRAUD = json.loads("""{
  "id": "fraud-check",
  "steps": [
    { "id": "score", "action": "calculateFraudScore" },
    {
      "id": "auto-approve",
      "action": "approveOrder",
      "condition": "score.risk < 0.3",
      "dependsOn": ["score"]
    },
    {
      "id": "manual-review",
      "action": "queueForReview",
      "condition": "score.risk >= 0.3",
      "dependsOn": ["score"]
    }
  ]
}""")
ONBOARDING = json.loads("""{
  "id": "onboarding",
  "steps": [
    { "id": "welcome", "action": "sendWelcomeEmail" },
    { "id": "wait", "action": "noop", "wait": "3d", "dependsOn": ["welcome"] },
    { "id": "tips", "action": "sendOnboardingTips", "dependsOn": ["wait"] }
  ]
}""")
LIFECYCLE = json.loads("""{
  "id": "customer-lifecycle",
  "triggers": [
    { "event": "Customer.created" },
    { "event": "Customer.upgraded", "condition": "plan === \\"enterprise\\"" }
  ],
  "steps": [{ "id": "welcome", "action": "sendWelcomeEmail" }]
}""")
RESILIENT = json.loads("""{
  "id": "resilient-workflow",
  "steps": [
    {
      "id": "risky-step",
      "action": "callExternalApi",
      "onError": "retry",
      "maxRetries": 5,
      "retryDelay": "1m"
    },
    {
      "id": "fallback",
      "action": "handleFailure",
      "onError": "branch",
      "errorBranch": "notify-admin"
    }
  ]
}""")

INPUT = {"orderId": "ord_123", "customerId": "cus_456"}


class Payments:
    """What stands for `this.env` of the original."""

    charged: list[dict[str, Any]] = []


class OrderWorkflow(DefinedWorkflow):
    """Step 1 of the guide, with its actions as methods."""

    id = "tests-order-class"
    name = "Process Customer Order"
    steps = ORDER["steps"]

    def validate_payment(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"total": 42, "paymentMethod": f"card of {params['customerId']}"}

    def reserve_inventory(self, params: Any, state: Any) -> str:
        return "held"

    async def charge_card(self, params: Any, state: dict[str, Any]) -> str:
        Payments.charged.append(
            {
                "amount": state["validate"]["total"],
                "source": state["validate"]["paymentMethod"],
            }
        )
        return "paid"

    @staticmethod
    def fulfill_order(params: Any, state: Any) -> list[str]:
        return list(state)

    @classmethod
    def send_confirmation(cls, params: Any) -> str:
        return cls.name


def test_class_with_actions_as_methods(workflows: WorkflowTester) -> None:
    run = definitions.start("tests-order-class", INPUT)
    workflows.run_until_idle()
    assert run.result() == {
        "validate": {"total": 42, "paymentMethod": "card of cus_456"},
        "reserve": "held",
        "charge": "paid",
        "fulfill": ["validate", "reserve", "charge"],
        "notify": "Process Customer Order",
    }
    assert Payments.charged == [{"amount": 42, "source": "card of cus_456"}]
    workflows.assert_replays(run)


def test_start_and_state_is_kept(workflows: WorkflowTester, diary: Diary) -> None:
    definitions.register(ORDER)
    execution = definitions.start("order-processing", INPUT)
    workflows.run_until_idle()
    status = definitions.status(execution.pk)
    assert status is not None
    assert status["status"] == "completed"
    assert status["input"] == INPUT
    assert diary.names == [
        "validate_payment",
        "reserve_inventory",
        "charge_card",
        "fulfill_order",
        "send_confirmation",
    ]
    assert {params["orderId"] for _, params, _ in diary.calls} == {"ord_123"}


def test_failure_is_seen_and_retried_from_the_failed_step(
    workflows: WorkflowTester, diary: Diary
) -> None:
    diary.failing["charge_card"] = 4
    definitions.register(ORDER)
    execution = definitions.start("order-processing", INPUT)
    workflows.run_until_idle()
    workflows.advance("3s")
    status = definitions.status(execution.pk)
    assert status is not None
    assert status["status"] == "failed"
    assert status["stepResults"] == {
        "validate": _result("completed"),
        "reserve": _result("completed"),
        "charge": _result("failed", error="charge_card failed", retries=3),
    }
    assert status["completedSteps"] == ["validate", "reserve"]
    assert status["currentStepIndex"] == 2
    definitions.retry(execution.pk)
    workflows.run_until_idle()
    assert execution.result().keys() == {
        "validate",
        "reserve",
        "charge",
        "fulfill",
        "notify",
    }
    assert diary.names.count("validate_payment") == 1
    assert diary.names.count("charge_card") == 5


@pytest.mark.parametrize(
    ("risk", "runs", "skipped"),
    [(0.1, "auto-approve", "manual-review"), (0.3, "manual-review", "auto-approve")],
)
def test_conditional_branching(
    workflows: WorkflowTester, diary: Diary, risk: float, runs: str, skipped: str
) -> None:
    diary.outputs["calculate_fraud_score"] = {"risk": risk}
    definitions.register(FRAUD)
    execution = definitions.start("fraud-check", {})
    workflows.run_until_idle()
    status = definitions.status(execution.pk)
    assert status is not None
    assert status["completedSteps"] == ["score", runs]
    assert status["stepResults"][skipped] == _result("skipped")


def test_wait_states(workflows: WorkflowTester, diary: Diary) -> None:
    definitions.register(ONBOARDING)
    execution = definitions.start("onboarding", {"email": "ada@example.org"})
    workflows.run_until_idle()
    status = definitions.status(execution.pk)
    assert status is not None
    assert status["status"] == "waiting"
    workflows.crash()
    workflows.advance("2d 23h")
    assert diary.names == ["send_welcome_email"]
    workflows.advance("1h")
    assert diary.names == ["send_welcome_email", "send_onboarding_tips"]
    assert execution.result().keys() == {"welcome", "wait", "tips"}


def test_triggers(workflows: WorkflowTester, diary: Diary) -> None:
    definitions.register(LIFECYCLE)
    [created] = definitions.handle_event("Customer.created", {"id": "cus_123"})
    assert definitions.handle_event("Customer.upgraded", {"plan": "pro"}) == []
    [upgraded] = definitions.handle_event("Customer.upgraded", {"plan": "enterprise"})
    workflows.run_until_idle()
    assert created.result() == upgraded.result() == {"welcome": None}
    assert [params for _, params, _ in diary.calls] == [
        {"id": "cus_123"},
        {"plan": "enterprise"},
    ]


def test_error_handling(workflows: WorkflowTester, diary: Diary) -> None:
    @action("notify-admin")
    def notify_admin(params: Any, state: Any) -> str:
        return f"told about {params['id']}"

    diary.failing |= {"call_external_api": 5, "handle_failure": 1}
    definitions.register(RESILIENT)
    execution = definitions.start("resilient-workflow", {"id": 7})
    workflows.run_until_idle()
    workflows.advance("4m")
    assert diary.names.count("call_external_api") == 5
    workflows.advance("1m")
    assert execution.result() == {"risky-step": None, "notify-admin": "told about 7"}
    status = definitions.status(execution.pk)
    assert status is not None
    assert status["stepResults"]["risky-step"]["retries"] == 5
    assert status["stepResults"]["fallback"] == _result(
        "failed", error="handle_failure failed"
    )


def test_execution_control(workflows: WorkflowTester, diary: Diary) -> None:
    definitions.register(ONBOARDING)
    definitions.register(ORDER)
    diary.failing["charge_card"] = 4
    execution = definitions.start("onboarding", {"n": 1})
    failing = definitions.start("order-processing", INPUT)
    workflows.run_until_idle()
    definitions.pause(execution.pk)
    workflows.run_until_idle()
    assert _status(execution.pk) == "paused"
    workflows.advance("4d")
    assert diary.names.count("send_onboarding_tips") == 0
    definitions.resume(execution.pk)
    workflows.run_until_idle()
    assert _status(execution.pk) == "completed"

    again = definitions.replay(execution.pk)
    workflows.run_until_idle()
    definitions.cancel(again.pk)
    workflows.run_until_idle()
    assert _status(again.pk) == "cancelled"

    history = definitions.history(execution.pk)
    assert [entry["stepId"] for entry in history if entry["type"] == "step_completed"]
    assert all(
        entry.keys() == {"timestamp", "type", "stepId", "data"} for entry in history
    )

    failed = definitions.list_executions(
        workflow_id="order-processing", status="failed", limit=10
    )
    assert [each["id"] for each in failed] == [failing.pk]
    with pytest.raises(WorkflowRunFailedError, match="charge_card failed"):
        failing.result()


def test_definitions_are_managed() -> None:
    registered = definitions.register(ORDER)
    assert registered.version == 1
    found = definitions.get_definition("order-processing")
    assert found is not None
    assert found.content()["steps"][2]["maxRetries"] == 3
    assert "order-processing" in [each.id for each in definitions.list_definitions()]
    assert definitions.delete_definition("order-processing") is True
    assert definitions.get_definition("order-processing") is None
    assert definitions.delete_definition("order-processing") is False


def _status(run_id: str) -> Any:
    status = definitions.status(run_id)
    assert status is not None
    return status["status"]


def _result(status: str, **more: Any) -> dict[str, Any]:
    return {"status": status, "output": None, "error": None, "retries": 0, **more}
