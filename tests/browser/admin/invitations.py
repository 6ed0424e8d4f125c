"""A workflow defined as data, and when it starts by itself."""

from __future__ import annotations

from datetime import date
from typing import Any

from django_workflows import create_schedule, definitions
from django_workflows.definitions import action
from django_workflows.models import Run, Schedule
from tests.browser.admin.orders import count_stock

DEFINITION = {
    "id": "invitation",
    "name": "Invite a customer",
    "steps": [
        {"id": "look_up", "action": "lookUpCustomer"},
        {"id": "letter", "action": "printLetter", "dependsOn": ["look_up"]},
        {
            "id": "voucher",
            "action": "printLetter",
            "dependsOn": ["look_up"],
            "condition": "look_up.orders > 10",
        },
        {"id": "send", "action": "noop", "dependsOn": ["letter", "voucher"]},
        {"id": "wait", "action": "noop", "wait": "3d", "dependsOn": ["send"]},
        {"id": "remind", "action": "printLetter", "dependsOn": ["wait"]},
    ],
}


@action("look_up_customer")
def look_up_customer(params: dict[str, Any]) -> dict[str, Any]:
    return {"name": params["customer"], "orders": 3}


@action("print_letter")
def print_letter(params: dict[str, Any], state: dict[str, Any]) -> str:
    return f"Dear {state['look_up']['name']}"


def invite() -> Run:
    """Register the definition, and start it."""
    definitions.register(DEFINITION)
    return definitions.start("invitation", {"customer": "Alfreds Futterkiste"})


def every_night() -> Schedule:
    """Count stock by the clocks of Berlin."""
    return create_schedule(
        "nightly count",
        count_stock,
        args=[date(2026, 11, 2)],
        cron="30 2 * * *",
        timezone="Europe/Berlin",
    )
