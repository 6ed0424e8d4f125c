"""``manage.py workflows export`` and ``check-replay``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from django_workflows import random, sleep, start, step, workflow
from django_workflows.models import Run
from django_workflows.replay.definitions import Workflow
from django_workflows.testing import WorkflowTester
from tests.engine.deploys import Deploys, deploy
from tests.management.commands import run_command

__all__ = ["deploy"]


@step(name="commands.note")
def note(text: Any) -> Any:
    return text


async def old(number: int = 0) -> None:
    await note(number)
    await sleep("1d")


async def new(number: int = 0) -> None:
    await note(-number)
    await sleep("1d")


async def draws(number: int = 0) -> None:
    await note(random().random())
    await sleep("1d")


def shop(code: Callable[..., Any]) -> Callable[[], Workflow[..., Any]]:
    return lambda: workflow(name="shop.order")(code)


@pytest.fixture
def run(workflows: WorkflowTester, deploy: Deploys) -> Run:
    deploy(shop(old))
    run = start("shop.order", 5)
    workflows.run_until_idle()
    return run


@pytest.fixture
def file(run: Run, tmp_path: Path) -> Path:
    file = tmp_path / "history.json"
    code, text = run_command("export", run.pk)
    assert code == 0
    file.write_text(text)
    return file


def test_export_prints_one_document(run: Run, file: Path) -> None:
    document = json.loads(file.read_text())
    assert document["run"]["id"] == run.pk
    assert [event["seq"] for event in document["events"]] == list(range(1, 7))
    assert json.loads(run_command("export", run.pk, "--json")[1]) == document
    assert document["seed"] is None
    with_seed = json.loads(run_command("export", run.pk, "--with-seed")[1])
    assert set(with_seed["seed"]) == {"clear"}


def test_export_of_an_unknown_run(db: None) -> None:
    with pytest.raises(CommandError, match="no workflow run 'wrun_x'"):
        run_command("export", "wrun_x")


def test_check_replay_of_a_file(run: Run, file: Path, deploy: Deploys) -> None:
    Run.objects.all().delete()
    assert run_command("check-replay", str(file)) == (
        0,
        "1 history replayed, 0 would break.\n",
    )
    deploy(shop(new))
    code, text = run_command("check-replay", str(file))
    line = new.__code__.co_firstlineno + 1
    assert code == 1
    assert text.splitlines()[0] == (
        f"shop.order {run.pk} in {file}, event 3 (step_created commands.note), "
        f"{__file__}:{line}"
    )
    assert "NonDeterminismError: shop.order no longer follows its log" in text
    assert text.endswith("1 history replayed, 1 would break.\n")


@pytest.mark.parametrize("arguments", [(), ("--open",)])
def test_check_replay_of_all_open_runs(
    run: Run, deploy: Deploys, workflows: WorkflowTester, arguments: tuple[str, ...]
) -> None:
    closed = start("shop.order")
    closed.terminate()
    start("shop.order", 7)
    workflows.run_until_idle()
    code, text = run_command("check-replay", *arguments)
    assert (code, text) == (0, "2 histories replayed, 0 would break.\n")
    deploy(shop(new))
    code, text = run_command("check-replay", *arguments)
    assert code == 1
    assert run.pk in text
    assert closed.pk not in text
    assert "2 would break" in text
    code, text = run_command("check-replay", "--fail-fast", *arguments)
    assert (code, "1 history replayed, 1 would break" in text) == (1, True)


def test_check_replay_of_files_and_open_runs(
    run: Run, file: Path, deploy: Deploys
) -> None:
    code, text = run_command("check-replay", str(file), "--open")
    assert (code, text) == (0, "2 histories replayed, 0 would break.\n")
    assert "1 history" in run_command("check-replay", str(file))[1]


def test_check_replay_as_json(run: Run, file: Path, deploy: Deploys) -> None:
    code, text = run_command("check-replay", str(file), "--json")
    assert (code, json.loads(text)) == (0, {"checked": 1, "broken": []})
    deploy(shop(new))
    code, text = run_command("check-replay", "--json")
    (broken,) = json.loads(text)["broken"]
    message = broken.pop("message")
    assert code == 1
    assert broken == {
        "run": run.pk,
        "workflow": "shop.order",
        "version": "",
        "seq": 3,
        "event": "step_created commands.note",
        "file": __file__,
        "line": new.__code__.co_firstlineno + 1,
        "error": "NonDeterminismError",
        "source": "",
    }
    assert "commands.note (event 3)" in message


def test_what_workflow_code_prints_is_no_part_of_the_report(
    run: Run, deploy: Deploys, capfd: pytest.CaptureFixture[str]
) -> None:
    async def talking(number: int = 0) -> None:
        print("hello")
        await old(number)

    deploy(shop(talking))
    capfd.readouterr()
    call_command("workflows", "check-replay", "--json")
    printed = capfd.readouterr()
    assert json.loads(printed.out) == {"checked": 1, "broken": []}
    assert "hello" in printed.err


def test_check_replay_of_an_unregistered_workflow(
    run: Run, file: Path, deploy: Deploys
) -> None:
    deploy(lambda: workflow(name="shop.renamed")(old))
    code, text = run_command("check-replay", str(file))
    assert code == 1
    assert "No workflow is registered as 'shop.order'. Known: shop.renamed." in text


def test_check_replay_without_a_seed_says_what_to_do(
    workflows: WorkflowTester, deploy: Deploys, tmp_path: Path
) -> None:
    deploy(shop(draws))
    run = start("shop.order")
    workflows.run_until_idle()
    without, with_seed = tmp_path / "without.json", tmp_path / "with.json"
    without.write_text(run_command("export", run.pk)[1])
    with_seed.write_text(run_command("export", run.pk, "--with-seed")[1])
    assert run_command("check-replay", str(without))[0] == 0
    Run.objects.all().delete()
    code, text = run_command("check-replay", str(without))
    assert code == 1
    assert "export it with --with-seed" in text
    assert run_command("check-replay", str(with_seed))[0] == 0


def test_check_replay_of_nothing(db: None) -> None:
    assert run_command("check-replay") == (0, "0 histories replayed, 0 would break.\n")


@pytest.mark.parametrize("content", [None, "", "{}", "[1]"])
def test_files_that_are_no_histories(
    db: None, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "wrong.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CommandError, match=r"wrong\.json"):
        run_command("check-replay", str(file))
