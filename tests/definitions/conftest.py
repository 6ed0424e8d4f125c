"""What the tests of definitions share: actions that keep a diary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from django_workflows.definitions import action
from tests.definitions.registered import registered_for_a_while


@dataclass
class Diary:
    """What actions were called with, and which of them fail how often."""

    calls: list[tuple[str, Any, Any]] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def run(self, name: str, params: Any, state: Any) -> Any:
        self.calls.append((name, params, state))
        if self.failing.get(name, 0) > 0:
            self.failing[name] -= 1
            raise ValueError(f"{name} failed")
        return self.outputs.get(name)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]


NAMES = (
    "validate_payment",
    "reserve_inventory",
    "charge_card",
    "fulfill_order",
    "send_confirmation",
    "calculate_fraud_score",
    "approve_order",
    "queue_for_review",
    "send_welcome_email",
    "send_onboarding_tips",
    "call_external_api",
    "handle_failure",
    "one",
    "two",
    "three",
    "four",
)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered_for_a_while():
        action("echo")(_echo)
        action("echo_later")(_echo_later)
        yield


@pytest.fixture(autouse=True)
def diary(_registered: None) -> Diary:
    """What the actions of the samples, and some more, are called with."""
    made = Diary()
    for name in NAMES:
        _add(name, made)
    return made


def _add(name: str, diary: Diary) -> None:
    @action(name)
    def note(params: Any, state: dict[str, Any]) -> Any:
        return diary.run(name, params, state)


def _echo(params: Any) -> Any:
    return params


async def _echo_later(params: Any, state: Any) -> Any:
    return params
