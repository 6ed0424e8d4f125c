"""Histories, stored and exported, are replayed against other code."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_workflows import (
    NonDeterminismError,
    UnknownCodeError,
    WorkflowNotRegisteredError,
    continue_as_new,
    create_hook,
    now,
    patched,
    random,
    resume_hook,
    saga,
    set_attributes,
    sleep,
    start,
    start_child,
    step,
    uuid4,
    workflow,
)
from django_workflows.models import Event, Run
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import registry
from django_workflows.testing import (
    ReplayReport,
    WorkflowTester,
    check_replay,
    export_history,
)
from tests.engine.deploys import Deploys, deploy

__all__ = ["deploy"]

ran: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ran.clear()


@step(name="checking.note")
def note(text: Any) -> Any:
    ran.append(str(text))
    return text


@step(name="checking.fail")
def fail(text: str) -> None:
    raise ValueError(text)


async def order(number: int = 0) -> Any:
    await note(f"order {number}")
    await sleep("1d")
    return await note("shipped")


async def renamed_step(number: int = 0) -> Any:
    await note(f"ORDER {number}")
    await sleep("1d")
    return await note("shipped")


def shop(
    code: Callable[..., Any], name: str = "shop.order", **options: Any
) -> Callable[[], Workflow[..., Any]]:
    return lambda: workflow(name=name, **options)(code)


def line_of(function: Any, text: str) -> int:
    import inspect

    lines, first = inspect.getsourcelines(function)
    return next(first + n for n, line in enumerate(lines) if text in line)


def exported(run: Run, **options: Any) -> Any:
    """What comes back from a file."""
    run.refresh_from_db()
    return json.loads(json.dumps(export_history(run, **options)))


def count_queries(action: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        action()
    return [query["sql"] for query in queries]


# -- what does not break --------------------------------------------------------------


def test_replay_runs_no_step_and_writes_nothing(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    """Fifty steps, replayed from an export."""

    async def fifty() -> list[Any]:
        return [await note(number) for number in range(50)]

    deploy(shop(fifty))
    run = start("shop.order")
    workflows.run_until_idle()
    assert len(ran) == 50
    document = exported(run)
    reports: list[ReplayReport] = []
    assert count_queries(lambda: reports.append(check_replay(document))) == []
    assert (reports[0].checked, reports[0].broken) == (1, [])
    assert len(ran) == 50
    for sql in count_queries(lambda: check_replay(run)):
        assert sql.startswith("SELECT")


def test_open_runs_replay_to_their_suspension(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    async def hooked(number: int = 0) -> Any:
        hook = create_hook(token=f"t{number}")
        await note("before")
        return await hook

    deploy(shop(order), shop(hooked, "shop.hooked"))
    sleeping = [start("shop.order", number) for number in range(3)]
    waiting = [start("shop.hooked", number) for number in range(3)]
    workflows.run_until_idle()
    not_begun = start("shop.order", 7)
    before = list(Event.objects.values())
    report = check_replay(Run.objects.open())
    report.raise_for_broken()
    assert report.checked == 7
    assert check_replay(*sleeping, [waiting, not_begun]).checked == 7
    assert list(Event.objects.values()) == before


def test_closed_runs_replay_to_their_ends(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    async def failing() -> None:
        await fail.options(max_retries=0)("no")

    async def cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await note("clean")

    deploy(shop(order), shop(failing, "failing"), shop(cancelled, "cancelled"))
    runs = [start("shop.order"), start("failing")]
    runs += [start("cancelled"), start("cancelled")]
    workflows.run_until_idle()
    runs.append(start("cancelled"))
    runs[2].cancel()
    runs[3].terminate()
    runs[4].cancel()
    workflows.advance("1d")
    for run in runs:
        run.refresh_from_db()
    assert [run.status for run in runs] == [
        "completed",
        "failed",
        "cancelled",
        "terminated",
        "cancelled",
    ]
    report = check_replay(runs, [exported(run) for run in runs])
    assert (report.checked, report.broken) == (10, [])


def test_more_open_runs_than_are_read_at_a_time(
    workflows: WorkflowTester, deploy: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_workflows.store.checking.BATCH", 3)
    deploy(shop(order))
    for number in range(8):
        start("shop.order", number)
    workflows.run_until_idle()
    queries = count_queries(lambda: check_replay(Run.objects.open()))
    assert check_replay(Run.objects.open()).checked == 8
    assert len(queries) == 4 + 3  # pages of runs, and their logs


def test_histories_of_all_kinds(workflows: WorkflowTester, deploy: Deploys) -> None:
    """Retried, continued, with children, attributes and undone steps, and paused."""

    async def retried() -> Any:
        await note("before")
        await fail.options(max_retries=0)("not now")
        return await note("after")

    async def continued(left: int) -> Any:
        hook = create_hook(token="kept")
        await hook
        if left:
            continue_as_new(left - 1)

    async def parent() -> Any:
        keyed = get_workflow("order").options(key="k")
        children = [start_child(keyed, 1), start_child("order", 2)]
        set_attributes(children=2)
        if not patched("more"):
            return None
        return [await each for each in children]

    async def undoing() -> Any:
        async with saga() as undo:
            undo.compensate(note, "undone")
            await fail.options(max_retries=0)("no")

    async def limited() -> Any:
        return await note.options(max_concurrency=1)("limited")

    def get_workflow(name: str) -> Any:
        return registry.workflow(name)

    deploy(
        shop(order, "order"),
        *(shop(code, code.__name__) for code in (retried, continued, parent, undoing)),
        shop(limited, "limited"),
    )
    runs = {name: start(name) for name in ("retried", "parent", "undoing", "limited")}
    runs["continued"] = start("continued", 2)
    runs["paused"] = start("order", 9)
    workflows.run_until_idle()
    runs["paused"].pause()
    resume_hook("kept", 1)
    workflows.mock_step(fail, return_value="now")
    workflows.run_until_idle()
    runs["retried"].retry()
    resume_hook("kept", 2)
    workflows.run_until_idle()
    for _ in range(2):
        everything = list(Run.objects.order_by("pk"))
        documents = [exported(run) for run in everything]
        for source in (Run.objects.all(), documents):
            report = check_replay(source)
            report.raise_for_broken()
            assert report.checked == len(everything) == 10
        workflows.advance("2d")
    states = {name: Run.objects.get(pk=run.pk).status for name, run in runs.items()}
    assert states == {
        "retried": "completed",
        "parent": "completed",
        "undoing": "failed",
        "limited": "completed",
        "continued": "continued_as_new",
        "paused": "paused",
    }


# -- what breaks, and where -----------------------------------------------------------


def test_broken_runs_are_named_with_event_file_and_line(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    """Of five histories one would break."""
    deploy(shop(order), shop(order, "other"))
    good = [start("other", number) for number in range(4)]
    bad = start("shop.order", 5)
    workflows.run_until_idle()
    deploy(shop(renamed_step), shop(order, "other"))
    report = check_replay([*good[:2], bad, *good[2:]])
    assert report.checked == 5
    (broken,) = report.broken
    assert (broken.run_id, broken.workflow) == (bad.pk, "shop.order")
    assert (broken.seq, broken.event) == (3, "step_created checking.note")
    assert (broken.file, broken.line) == (__file__, line_of(renamed_step, "ORDER"))
    assert isinstance(broken.error, NonDeterminismError)
    with pytest.raises(NonDeterminismError) as caught:
        report.raise_for_broken()
    for part in (bad.pk, "event 3", f"{__file__}:{broken.line}", "5 histories"):
        assert part in str(caught.value)
    assert "1 would break" in str(report)


def test_stopping_at_the_first(workflows: WorkflowTester, deploy: Deploys) -> None:
    deploy(shop(order))
    runs = [start("shop.order", number) for number in range(5)]
    workflows.run_until_idle()
    deploy(shop(renamed_step))
    assert len(check_replay(runs).broken) == 5
    report = check_replay(runs, fail_fast=True)
    assert (report.checked, len(report.broken)) == (1, 1)


def test_code_that_no_longer_gets_to_an_event(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    async def shorter(number: int = 0) -> Any:
        await note(f"order {number}")
        await asyncio.Event().wait()

    deploy(shop(order))
    run = start("shop.order")
    workflows.run_until_idle()
    deploy(shop(shorter))
    (broken,) = check_replay(run).broken
    assert (broken.seq, broken.event) == (6, "wait_created sleep:86400")
    assert broken.line == line_of(shorter, "Event()")


def test_forbidden_calls_in_the_part_that_is_replayed(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    async def clock(number: int = 0) -> Any:
        await note(f"order {number}")
        time.time()
        await sleep("1d")

    deploy(shop(order))
    run = start("shop.order")
    workflows.run_until_idle()
    deploy(shop(clock))
    (broken,) = check_replay(run).broken
    assert type(broken.error).__name__ == "WorkflowGuardError"
    assert (broken.seq, broken.event) == (5, "step_completed checking.note")
    assert (broken.file, broken.line) == (__file__, line_of(clock, "time.time"))


def test_unregistered_workflows_are_named_beside_the_known_ones(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    """The names that are known are told."""
    deploy(shop(order), shop(order, "shop.other", version="1"))
    runs = [start("shop.order"), start("shop.other")]
    deploy(shop(order, "shop.new"), shop(order, "shop.other", version="2"))
    gone, other_version = check_replay(runs).broken
    assert isinstance(gone.error, WorkflowNotRegisteredError)
    assert "'shop.order'. Known: shop.new, shop.other" in str(gone.error)
    assert "aliases" in str(gone.error)
    assert "version '1'. Known versions: 2" in str(other_version.error)
    assert (gone.seq, gone.file) == (None, "")


def test_run_that_has_not_begun_and_could_not(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    async def other_arguments(customer: str, /, amount: int) -> None: ...

    deploy(shop(order))
    run = start("shop.order", 5)
    deploy(shop(other_arguments))
    (broken,) = check_replay(run).broken
    assert isinstance(broken.error, TypeError)
    assert (broken.seq, broken.event) == (1, "run_created")
    assert broken.line == line_of(other_arguments, "async def")


def test_failed_runs_have_to_fail_in_the_same_way(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    """Open ones to where they wait, failed ones to the same failure."""

    async def failing() -> None:
        await note(1)
        raise ValueError("first")

    async def other_text() -> None:
        await note(1)
        raise ValueError("second")

    async def other_error() -> None:
        await note(1)
        raise KeyError("new")

    async def succeeding() -> None:
        await note(1)

    deploy(shop(failing))
    run = start("shop.order")
    workflows.run_until_idle()
    deploy(shop(other_text))
    assert not check_replay(run).broken
    deploy(shop(other_error))
    (broken,) = check_replay(run).broken
    assert (broken.seq, broken.event) == (6, "run_failed")
    assert "KeyError: 'new' where the log holds ValueError: first" in str(broken)
    deploy(shop(succeeding))
    (broken,) = check_replay(run).broken
    assert "run_completed where the log holds run_failed" in str(broken)


async def endless(number: int = 0) -> Any:
    await note(f"order {number}")
    while number == 1:
        pass
    await sleep("1d")


async def stubborn(number: int = 0) -> Any:
    await note(f"order {number}")
    for _ in range(number):
        try:
            while True:
                pass
        except BaseException as error:  # swallows what interrupts it
            ran.append(type(error).__name__)
    await sleep("1d")


@pytest.mark.parametrize("code", [endless, stubborn])
def test_code_that_does_not_come_to_an_end(
    workflows: WorkflowTester, deploy: Deploys, settings: Any, code: Any
) -> None:
    settings.WORKFLOWS = {"BURST_TIMEOUT": "500ms"}
    deploy(shop(order))
    runs = [start("shop.order", number) for number in (0, 1, 0)]
    workflows.run_until_idle()
    deploy(shop(code))
    report = check_replay(runs)
    (broken,) = report.broken
    assert (report.checked, broken.run_id) == (3, runs[1].pk)
    assert "BURST_TIMEOUT" in str(broken.error)
    assert (broken.seq, broken.event) == (5, "step_completed checking.note")
    first = code.__code__.co_firstlineno
    assert broken.file == __file__
    assert first < broken.line < first + 10


# -- exported histories ---------------------------------------------------------------


def test_export_says_what_happened(workflows: WorkflowTester, deploy: Deploys) -> None:
    deploy(shop(order))
    run = workflow_run = start("shop.order", 5)
    workflows.advance("1d")
    document = exported(run)
    assert document["run"]["id"] == workflow_run.pk
    assert document["run"]["status"] == "completed"
    events = document["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events] == [e.type for e in run.history()]
    assert events[2]["detail"] == {"name": "checking.note"}
    assert "order 5" in events[2]["payload"]


def test_exported_history_breaks_where_the_stored_one_does(
    workflows: WorkflowTester, deploy: Deploys, tmp_path: Path
) -> None:
    deploy(shop(order))
    run = start("shop.order")
    workflows.run_until_idle()
    file = tmp_path / "history.json"
    file.write_text(json.dumps(exported(run)))
    run.terminate()
    Run.objects.all().delete()
    check_replay(file, str(file)).raise_for_broken()
    deploy(shop(renamed_step))
    (broken,) = check_replay(file).broken
    assert (broken.run_id, broken.seq, broken.source) == (run.pk, 3, str(file))
    assert f"in {file}, event 3" in str(broken)


def test_several_histories_in_one_file(
    workflows: WorkflowTester, deploy: Deploys, tmp_path: Path
) -> None:
    deploy(shop(order))
    runs = [start("shop.order") for _ in range(3)]
    file = tmp_path / "histories.json"
    file.write_text(json.dumps([exported(run) for run in runs]))
    assert check_replay(file).checked == 3


async def draws() -> Any:
    await note(str(uuid4()))
    await note(random().random())
    await sleep("1d")
    return now()


def test_seed_stays_out_and_is_found_in_the_database(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    deploy(shop(draws))
    run = start("shop.order")
    workflows.run_until_idle()
    document = exported(run)
    assert document["seed"] is None
    seed = bytes(Run.objects.get().seed)
    assert seed.hex() not in json.dumps(document)
    check_replay(document).raise_for_broken()
    Run.objects.all().delete()
    (broken,) = check_replay(document).broken
    assert "uuid4()" in str(broken.error)
    assert "--with-seed" in str(broken.error)
    assert broken.line == line_of(draws, "uuid4()")


@pytest.mark.parametrize("first", [b"\0", b"\1", b"{"])
def test_seed_that_looks_sealed_stays_out(
    workflows: WorkflowTester, deploy: Deploys, first: bytes
) -> None:
    deploy(shop(draws))
    run = start("shop.order")
    Run.objects.update(seed=first + bytes(31))
    workflows.run_until_idle()
    assert exported(run)["seed"] is None
    document = exported(run, with_seed=True)
    Run.objects.all().delete()
    check_replay(document).raise_for_broken()


def test_seed_in_clear_if_asked_for(workflows: WorkflowTester, deploy: Deploys) -> None:
    deploy(shop(draws))
    run = start("shop.order")
    workflows.run_until_idle()
    document = exported(run, with_seed=True)
    Run.objects.all().delete()
    check_replay(document).raise_for_broken()
    document["seed"]["clear"] = "AAAA"
    assert check_replay(document).broken


def test_sealed_payloads_stay_sealed_and_the_seed_is_sealed_with_them(
    workflows: WorkflowTester, deploy: Deploys, settings: Any
) -> None:
    from cryptography.fernet import Fernet

    sealed = {
        "PAYLOAD_CODEC": "django_workflows.codecs.FernetCodec",
        "ENCRYPTION_KEYS": [Fernet.generate_key().decode()],
    }
    settings.WORKFLOWS = sealed
    deploy(shop(draws), shop(order, "plain"))
    runs = [start("shop.order"), start("plain", "top secret")]
    workflows.run_until_idle()
    documents = [exported(run) for run in runs]
    assert "secret" not in json.dumps(documents)
    assert set(documents[0]["seed"]) == {"sealed"}
    Run.objects.all().delete()
    assert not check_replay(documents).broken
    settings.WORKFLOWS = sealed | {"ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}
    with pytest.raises(UnknownCodeError):
        check_replay(documents)
    settings.WORKFLOWS = {}
    with pytest.raises(UnknownCodeError, match="PAYLOAD_CODEC"):
        check_replay(documents)


def test_stored_payload_that_cannot_be_opened_breaks_its_run(
    workflows: WorkflowTester, deploy: Deploys, settings: Any
) -> None:
    from cryptography.fernet import Fernet

    deploy(shop(order))
    readable = start("shop.order")
    settings.WORKFLOWS = {
        "PAYLOAD_CODEC": "django_workflows.codecs.FernetCodec",
        "ENCRYPTION_KEYS": [Fernet.generate_key().decode()],
    }
    run = start("shop.order")
    settings.WORKFLOWS = {}
    report = check_replay([run, readable])
    (broken,) = report.broken
    assert (report.checked, broken.run_id) == (2, run.pk)
    assert isinstance(broken.error, UnknownCodeError)


def test_bytes_and_odd_texts_come_through(
    workflows: WorkflowTester, deploy: Deploys
) -> None:
    values = [b"\x00\xff", "\ud800", "nul \0", 1e22, -0.0, float("nan"), {1: {2}}]

    async def odd() -> None:
        for value in values:
            await note(value)

    deploy(shop(odd))
    run = start("shop.order")
    workflows.run_until_idle()
    check_replay(exported(run)).raise_for_broken()


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("format"),
        lambda document: document.update(format="other"),
        lambda document: document.update(format_version=99),
        lambda document: document.update(run=None),
        lambda document: document["run"].update(workflow=None),
        lambda document: document["run"].pop("id"),
        lambda document: document.update(events=[]),
        lambda document: document["events"].pop(0),
        lambda document: document["events"].append(3),
        lambda document: document["events"][0].update(payload=3),
        lambda document: document["events"][0].update(payload={"base64": "?"}),
        lambda document: document["events"][0].update(created_at="yesterday"),
        lambda document: document["events"][0].pop("detail"),
    ],
)
def test_documents_that_are_no_histories(
    workflows: WorkflowTester, deploy: Deploys, change: Callable[[Any], Any]
) -> None:
    deploy(shop(order))
    document = exported(start("shop.order"))
    check_replay(document).raise_for_broken()
    change(document)
    with pytest.raises(ValueError, match="no history exported by django_workflows"):
        check_replay(document)


@pytest.mark.parametrize("content", ["", "{", "3", "[3]", '"text"', "\xff"])
def test_files_that_are_no_histories(tmp_path: Path, content: str) -> None:
    file = tmp_path / "wrong.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"wrong\.json"):
        check_replay(file)
