"""``start()``: what is stored, when, and what is refused."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from django_workflows import (
    PayloadTooLargeError,
    SerializationError,
    WorkflowError,
    WorkflowNotRegisteredError,
    aget_run,
    astart,
    astart_many,
    start,
    start_many,
    workflow,
)
from django_workflows.models import Event, Run
from django_workflows.replay.options import StartOptions
from django_workflows.testing import WorkflowTester
from tests.engine.threads import in_thread
from tests.engine.transactions import rolled_back


@workflow
async def add(a: int, b: int = 2, *, c: int = 0) -> int:
    return a + b + c


@workflow(queue="slow", priority=7, attributes={"team": "x"})
async def with_options() -> str:
    return "done"


async def not_a_workflow() -> None: ...


def nothing_stored() -> bool:
    return not Run.objects.exists() and not Event.objects.exists()


def test_start_returns_the_stored_run(workflows: WorkflowTester) -> None:
    run = start(add, 1, b=5)
    stored = Run.objects.get()
    assert run.pk == stored.pk
    assert run.pk.startswith("wrun_")
    assert run.status == "pending"
    assert (run.args, run.kwargs) == ((1,), {"b": 5})
    for field in Run._meta.concrete_fields:
        if field.name != "seed":
            assert getattr(run, field.attname) == getattr(stored, field.attname), field
    assert [event.type for event in run.history()] == ["run_created"]


def test_the_three_ways_to_start_do_the_same(workflows: WorkflowTester) -> None:
    runs = [start(add, 1), add.start(1), start(add.name, 1)]
    workflows.run_until_idle()
    assert [run.result() for run in runs] == [3, 3, 3]


def test_an_instance_returned_by_start_can_be_refreshed(
    workflows: WorkflowTester,
) -> None:
    run = start(add, 1)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "completed"
    assert run.started_at is not None
    assert run.finished_at is not None


def test_log_of_a_run_without_steps(workflows: WorkflowTester) -> None:
    run = start(add, 1)
    workflows.run_until_idle()
    assert [event.type for event in run.history()] == [
        "run_created",
        "run_started",
        "run_completed",
    ]
    assert [event.seq for event in run.history()] == [1, 2, 3]


def test_options_of_the_decorator_are_stored(workflows: WorkflowTester) -> None:
    run = Run.objects.get(pk=start(with_options).pk)
    assert (run.queue, run.priority, run.attributes) == ("slow", 7, {"team": "x"})


def test_options_of_the_start_win(workflows: WorkflowTester) -> None:
    started = with_options.options(
        queue="eu", priority=-3, attributes={"customer": 7}
    ).start()
    run = Run.objects.get(pk=started.pk)
    assert (run.queue, run.priority, run.attributes) == ("eu", -3, {"customer": 7})
    assert Run.objects.filter(attributes__customer=7).get() == run


# -- transactions ---------------------------------------------------------------------


def test_start_in_a_rolled_back_block_leaves_nothing(
    workflows: WorkflowTester,
) -> None:
    with rolled_back():
        start(add, 1)
    assert nothing_stored()


def test_start_in_a_rolled_back_savepoint_leaves_its_sibling(
    workflows: WorkflowTester,
) -> None:
    with transaction.atomic():
        with rolled_back():
            start(add, 1)
        sibling = start(add, 10)
    workflows.run_until_idle()
    assert Run.objects.get() == sibling
    assert sibling.result() == 12


@pytest.mark.django_db(transaction=True)
def test_start_is_invisible_until_the_block_commits(
    workflows: WorkflowTester,
) -> None:
    with transaction.atomic():
        start(add, 1)
        assert in_thread(Run.objects.count) == 0
    assert in_thread(Run.objects.count) == 1


def test_a_refused_start_leaves_the_block_usable(workflows: WorkflowTester) -> None:
    with transaction.atomic():
        with pytest.raises(TypeError):
            start(add)
        with pytest.raises(ValueError, match="queue"):
            add.options(queue="x" * 101).start(1)
        start(add, 1)
    assert Run.objects.count() == 1


# -- start_many -----------------------------------------------------------------------


def test_start_many_takes_tuples_and_mappings(workflows: WorkflowTester) -> None:
    runs = start_many(add, [(1,), (2, 3), {"a": 4, "c": 1}])
    workflows.run_until_idle()
    assert [run.result() for run in runs] == [3, 5, 7]


def test_start_many_works_in_batches(workflows: WorkflowTester) -> None:
    runs = start_many(add, ((n,) for n in range(25)), batch_size=10)
    assert [run.args for run in runs] == [(n,) for n in range(25)]
    assert Run.objects.count() == 25
    assert len({run.pk for run in runs}) == 25


def test_start_many_starts_all_or_none(workflows: WorkflowTester) -> None:
    with pytest.raises(TypeError):
        start_many(add, [(1,), (2,), ()])
    assert nothing_stored()


def test_start_many_of_nothing(workflows: WorkflowTester) -> None:
    assert start_many(add, []) == []


def test_start_many_takes_no_key(workflows: WorkflowTester) -> None:
    with pytest.raises(ValueError, match="key"):
        start_many(add.options(key="k"), [(1,), (2,)])
    assert nothing_stored()


# -- delay ----------------------------------------------------------------------------


@pytest.mark.parametrize("delay", ["10m", 600, timedelta(minutes=10), "PT10M"])
def test_delay_as_a_duration(workflows: WorkflowTester, delay: Any) -> None:
    begun = workflows.now
    run = add.options(delay=delay).start(1)
    assert run.wake_at == begun + timedelta(minutes=10)
    workflows.advance("9m59s")
    run.refresh_from_db()
    assert run.status == "pending"
    workflows.advance("1s")
    assert run.result() == 3
    run.refresh_from_db()
    assert run.started_at == begun + timedelta(minutes=10)


def test_delay_until_a_point_in_time(workflows: WorkflowTester) -> None:
    due = workflows.now + timedelta(days=1)
    run = add.options(delay=due).start(1)
    workflows.advance("23h")
    run.refresh_from_db()
    assert run.status == "pending"
    workflows.advance("1h")
    assert run.result() == 3
    run.refresh_from_db()
    assert run.started_at == due


def test_delay_until_a_time_in_the_past_starts_now(workflows: WorkflowTester) -> None:
    run = add.options(delay=datetime(2001, 1, 1, tzinfo=UTC)).start(1)
    workflows.run_until_idle()
    assert run.result() == 3


@pytest.mark.parametrize(
    "delay",
    ["soon", "-5m", -1, datetime(2030, 1, 1), float("nan"), "500000w", [1]],
)
def test_delay_that_makes_no_sense_is_refused(
    workflows: WorkflowTester, delay: Any
) -> None:
    with pytest.raises(ValueError, match=r"."):
        add.options(delay=delay).start(1)
    assert nothing_stored()


# -- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"d": 1}), ((1,), {"a": 1})],
)
def test_arguments_that_do_not_fit_are_refused(
    workflows: WorkflowTester, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        start(add, *args, **kwargs)
    assert nothing_stored()


@pytest.mark.parametrize(
    "target", [None, not_a_workflow, object(), "", "no.such.workflow", 42, lambda: 1]
)
def test_what_is_no_registered_workflow_is_refused(
    workflows: WorkflowTester, target: Any
) -> None:
    with pytest.raises(WorkflowNotRegisteredError):
        start(target)
    assert nothing_stored()


def test_arguments_that_cannot_be_stored_are_refused(
    workflows: WorkflowTester,
) -> None:
    with pytest.raises(SerializationError, match=r"args\[0\]\['x'\]\[1\]"):
        start(add, {"x": [1, lambda: 1]})
    with pytest.raises(SerializationError, match=r"kwargs\['b'\]"):
        start(add, 1, b=object())
    assert nothing_stored()


def test_arguments_that_are_too_large_are_refused(
    workflows: WorkflowTester, settings: Any
) -> None:
    settings.WORKFLOWS = {"MAX_PAYLOAD_BYTES": 1000}
    with pytest.raises(PayloadTooLargeError):
        start(add, "x" * 1001)
    assert nothing_stored()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_conflict": "whatever"}, ValueError),
        ({"key": ""}, ValueError),
        ({"key": "  "}, ValueError),
        ({"key": "a\0b"}, ValueError),
        ({"key": "\ud800"}, ValueError),
        ({"key": "k" * 256}, ValueError),
        ({"key": 42}, ValueError),
        ({"queue": ""}, ValueError),
        ({"queue": "q" * 101}, ValueError),
        ({"queue": "a\0b"}, ValueError),
        ({"queue": None}, ValueError),
        ({"priority": 1 << 40}, ValueError),
        ({"priority": "high"}, ValueError),
        ({"timeout": "never"}, ValueError),
        ({"colour": "red"}, TypeError),
    ],
)
def test_wrong_options_are_refused(
    workflows: WorkflowTester, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        add.options(**options).start(1)
    assert nothing_stored()


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("name", [7, b"shop.order"]),
        ("version", [None, 1.5, True, b"1"]),
        ("queue", [None, 7, b"eu"]),
        ("on", [7]),
        ("aliases", [None, 7, [7], b"shop.order"]),
        ("api", [None, "yes", 1]),
    ],
)
def test_an_option_of_a_wrong_type_is_refused_at_import(
    option: str, wrong: list[Any]
) -> None:
    for value in wrong:
        with pytest.raises(TypeError, match=f"option {option}"):
            workflow(**{option: value})
    with pytest.raises(TypeError, match="option when"):
        workflow(on="paid", when=7)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("queue", ["", "q" * 101]),
        ("priority", ["high", None, 1 << 40]),
        ("attributes", [None, {"x": float("nan")}]),
        ("timeout", ["never", []]),
        ("retention", [-1]),
        ("rate_limit", [7, "often"]),
        ("max_concurrency", ["1"]),
    ],
)
def test_an_option_that_means_nothing_is_refused_at_import(
    option: str, wrong: list[Any]
) -> None:
    for value in wrong:
        with pytest.raises(ValueError, match=f"^{option}"):
            workflow(**{option: value})


@pytest.mark.parametrize(
    "attributes",
    [
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": "a\0b"},
        {"a\0b": 1},
        {"x": "\ud800"},
        {"x": {"y": ["\udfff"]}},
        {"x": (1, 2)},
        {"x": {1, 2}},
        {1: "x"},
        {"x": {2: 3}},
        {"x": datetime(2030, 1, 1, tzinfo=UTC)},
        {"x": -0.0},
        {"x": 1e22},
        {"x": 1 << 64},
        ["x"],
        "x",
    ],
    ids=repr,
)
def test_attributes_that_json_would_not_keep_are_refused(
    workflows: WorkflowTester, attributes: Any
) -> None:
    with pytest.raises(ValueError, match="attributes"):
        add.options(attributes=attributes).start(1)
    assert nothing_stored()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"a": 1, "b": "ü€😀", "c": None, "d": True, "e": 1.5, "f": [1, {"g": []}]},
        {"text": "\\u0000", "quote": "\"'%s\\", "": "empty key"},
        {"big": 2**53, "small": -(2**53), "tiny": 1e-7, "float": 3.0},
        OrderedDict(a=1),
    ],
    ids=repr,
)
def test_attributes_come_back_as_they_were(
    workflows: WorkflowTester, attributes: dict[str, Any]
) -> None:
    run = add.options(attributes=attributes).start(1)
    assert run.attributes == attributes
    stored = Run.objects.get(pk=run.pk).attributes
    assert stored == attributes
    assert repr(sorted(stored.items())) == repr(sorted(attributes.items()))


def test_calling_a_workflow_outside_of_one_names_start(db: None) -> None:
    with pytest.raises(WorkflowError, match=r"start\("):
        add(1)  # type: ignore[unused-coroutine]


def test_changing_an_argument_after_the_start_changes_nothing(
    workflows: WorkflowTester,
) -> None:
    given = [1]
    run = start(first_of, given)
    given[0] = 2
    workflows.run_until_idle()
    assert run.result() == 1


@workflow
async def first_of(values: list[int]) -> int:
    return values[0]


def test_options_do_not_change_the_workflow_itself() -> None:
    add.options(queue="elsewhere")
    assert add.settings == StartOptions()


# -- async ----------------------------------------------------------------------------


def test_async_twins_start_runs(workflows: WorkflowTester) -> None:
    async def begin() -> list[Run]:
        runs = [await astart(add, 1), await add.options(queue="eu").astart(2)]
        runs += await astart_many(add, [(3,), (4,)])
        assert (await aget_run(runs[1].pk)).queue == "eu"
        return runs

    async def results(runs: list[Run]) -> list[int]:
        return [await run.aresult() for run in runs]

    runs = async_to_sync(begin)()
    workflows.run_until_idle()
    assert async_to_sync(results)(runs) == [3, 4, 5, 6]
