"""``set_attributes()``: a run's attributes are as of its log."""

from __future__ import annotations

from typing import Any

import pytest

from django_workflows import get_workflow_metadata, set_attributes, workflow
from django_workflows.core.attributes import LONGEST_NAME, MOST, MOST_BYTES
from django_workflows.errors import NonDeterminismError
from django_workflows.replay import events as log
from django_workflows.replay.execution import RunBlocked
from tests.replay.driver import check_replays, drive
from tests.replay.steps import echo


@workflow
async def orders() -> list[dict[str, Any]]:
    seen = [get_workflow_metadata().attributes]
    set_attributes(customer=7, city="Köln")
    set_attributes(city=None, tags=["a", {"b": None}])
    seen.append(get_workflow_metadata().attributes)
    await echo(1)
    set_attributes(customer=8)
    seen.append(get_workflow_metadata().attributes)
    return seen


def test_attributes_are_merged_and_none_takes_one_away() -> None:
    driver = drive(orders).run()
    assert driver.result == [
        {},
        {"customer": 7, "tags": ["a", {"b": None}]},
        {"customer": 8, "tags": ["a", {"b": None}]},
    ]
    assert driver.count(log.ATTRIBUTES_SET) == 3
    check_replays(driver)


def test_replay_shows_attributes_as_of_the_log() -> None:
    driver = drive(orders)
    driver.execution.info.attributes["later"] = "unknown to the log"
    driver.drop()
    assert driver.run().result[2] == {"customer": 8, "tags": ["a", {"b": None}]}


@workflow
async def other_orders() -> None:
    set_attributes(customer=9)
    await echo(1)


def test_other_attributes_than_recorded_block_the_run() -> None:
    driver = drive(orders)
    with pytest.raises(RunBlocked) as blocked:
        driver.replay(workflow=other_orders)
    assert isinstance(blocked.value.error, NonDeterminismError)
    assert "attributes_set" in str(blocked.value.error)


@workflow
async def nothing_new() -> dict[str, Any]:
    set_attributes()
    found = get_workflow_metadata().attributes
    found["mine"] = "a copy"
    return get_workflow_metadata().attributes


def test_nothing_set_is_nothing_recorded() -> None:
    driver = drive(nothing_new)
    assert driver.result == {}
    assert driver.count(log.ATTRIBUTES_SET) == 0


WRONG: list[dict[str, Any]] = [
    {"when": object()},
    {"set": {1}},
    {"pair": (1, 2)},
    {"nan": float("nan")},
    {"nul": "a\0b"},
    {"half": "\ud800"},
    {"keys": {1: 2}},
    {"large": 2**63},
    {"n" * (LONGEST_NAME + 1): 1},
    {"text": "x" * MOST_BYTES},
    {f"n{number}": number for number in range(MOST + 1)},
]


@workflow
async def refused(values: list[dict[str, Any]]) -> list[str]:
    found = []
    for value in WRONG:
        try:
            set_attributes(**value)
        except ValueError as error:
            found.append(str(error))
    set_attributes(**{f"n{number}": number for number in range(MOST)})
    try:
        set_attributes(one="too many")
    except ValueError as error:
        found.append(str(error))
    set_attributes(n0=None, one="fits now")
    return [*found, str(len(get_workflow_metadata().attributes))]


def test_what_json_does_not_keep_and_what_is_too_much_is_refused() -> None:
    driver = drive(refused, []).run()
    *messages, count = driver.result
    assert len(messages) == len(WRONG) + 1
    assert all(message.startswith("attributes") for message in messages)
    assert count == str(MOST)
    assert driver.count(log.ATTRIBUTES_SET) == 2


def test_attributes_outside_of_a_workflow_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"set_attributes\(\) can only be called"):
        set_attributes(customer=7)
