"""What the tests of definitions share: actions that keep a diary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from django_workflows.definitions import action


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


_diary = Diary()


@pytest.fixture
def diary() -> Iterator[Diary]:
    _diary.__init__()  # type: ignore[misc]
    yield _diary
    _diary.__init__()  # type: ignore[misc]


def _add(name: str) -> None:
    @action(name)
    def note(params: Any, state: dict[str, Any]) -> Any:
        return _diary.run(name, params, state)


for _name in (
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
):
    _add(_name)


@action("echo")
def echo(params: Any) -> Any:
    return params


@action("echo_later")
async def echo_later(params: Any, state: Any) -> Any:
    return params
