"""Values that some database, or JSON, would change on the way."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from django_workflows import create_hook, resume_hook, start, step, workflow
from django_workflows.testing import WorkflowTester

VALUES: list[Any] = [
    "NUL \0 inside",
    "\0",
    "surrogates \ud800 and \udfff",
    "emoji 😀 and quotes \"'`\\",
    "%s %(x)s %% {0}",
    "",
    math.inf,
    -math.inf,
    -0.0,
    1e22,
    5e-324,
    1.7976931348623157e308,
    10**40,
    -(2**64),
    b"\x00\x01\xff\xfe",
    bytearray(b"\0"),
    (1, (2,), []),
    {1: "int", "1": "text", (1, 2): "tuple", None: "none", 1.5: "float"},
    {"\0": "\0", "%": "%s"},
    {1, 2, 3},
    frozenset({"a"}),
    Decimal("1.10"),
    Decimal("NaN"),
    datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2030, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    datetime(1, 1, 1),
    timedelta(days=-1, microseconds=1),
    UUID(int=0),
    complex(1, -0.0),
    ValueError("an error as a value \0"),
    True,
    None,
    "x" * 100_000,
]


@step
def identity(value: Any) -> Any:
    return value


@step(atomic=True)
def atomic_identity(value: Any) -> Any:
    return value


@step(queue="elsewhere")
async def offered_identity(value: Any) -> Any:
    return value


@workflow
async def passing_through(value: Any) -> Any:
    value = await identity(value)
    value = await atomic_identity(value)
    value = await offered_identity(value)
    with create_hook("values", metadata=value) as hook:
        return [value, await hook]


def same(one: Any, other: Any) -> bool:
    """Equality that tells types, signs of zero, NaN and the order of items."""
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_values_survive_the_whole_way(workflows: WorkflowTester, value: Any) -> None:
    run = start(passing_through, value)
    assert same(run.args[0], value)
    workflows.run_until_idle()
    workflows.crash()
    hook = run.hooks.get()
    assert same(hook.metadata, value)
    resume_hook("values", value)
    workflows.run_until_idle()
    returned, resumed = run.result()
    assert same(returned, value)
    assert same(resumed, value)
    outputs = [e.data["output"] for e in run.history() if e.type == "step_completed"]
    assert len(outputs) == 3
    assert all(same(output, value) for output in outputs)


def test_nan_survives(workflows: WorkflowTester) -> None:
    run = start(passing_through, math.nan)
    workflows.run_until_idle()
    resume_hook("values", {"x": math.nan})
    workflows.run_until_idle()
    returned, resumed = run.result()
    assert math.isnan(returned)
    assert math.isnan(resumed["x"])


def test_identity_within_a_value_survives(workflows: WorkflowTester) -> None:
    shared = [1]
    cyclic: list[Any] = [shared, shared]
    cyclic.append(cyclic)
    run = start(passing_through, cyclic)
    workflows.run_until_idle()
    resume_hook("values", None)
    workflows.run_until_idle()
    found = run.result()[0]
    assert found[0] is found[1]
    assert found[2] is found


@pytest.mark.parametrize(
    "value",
    [
        {"$": "type", "value": "os.system"},
        {"__type__": "x"},
        ["$ref", 0],
        {"@": 1},
        {"~": ["datetime", "now"]},
    ],
    ids=repr,
)
def test_values_that_look_like_encoded_ones_stay_what_they_are(
    workflows: WorkflowTester, value: Any
) -> None:
    run = start(passing_through, value)
    workflows.run_until_idle()
    resume_hook("values", value)
    workflows.run_until_idle()
    assert run.result() == [value, value]


def test_error_messages_with_nul_are_stored(workflows: WorkflowTester) -> None:
    run = start(raising_odd_text)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.error is not None
    assert str(run.error) == "NUL \0 and surrogate \ud800"


@workflow
async def raising_odd_text() -> None:
    raise ValueError("NUL \0 and surrogate \ud800")
