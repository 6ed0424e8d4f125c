"""The examples of the command line run, and every subcommand and option is there."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from django_workflows import sleep, start, step, workflow
from django_workflows.management.commands.workflows import Command
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.docs.pages import ROOT, fences
from tests.engine.deploys import Deploys, deploy
from tests.management.commands import run_fully

__all__ = ["deploy"]

PAGE = ROOT / "docs" / "reference" / "command-line.md"
PREFIX = "manage.py workflows "
EXAMPLES = [line for body in fences(PAGE, "sh") for line in body.splitlines()]
#: They run until they are told to stop: only their arguments are read.
ENDLESS = {"worker", "dev"}


def parser() -> argparse.ArgumentParser:
    return Command().create_parser("manage.py", "workflows")


def subcommands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


@step(name="docs.pay", max_retries=0)
def pay(amount: Decimal) -> str:
    if amount < 0:
        raise ValueError(f"cannot pay {amount}")
    return f"paid {amount}"


async def order(amount: Decimal) -> str:
    return await pay(amount)


async def nap() -> None:
    await sleep("1h")


@pytest.fixture
def runs(workflows: WorkflowTester, deploy: Deploys) -> dict[str, Run]:
    """The runs that the page speaks of, by their names."""
    ordering, napping = deploy(
        lambda: workflow(name="shop.order")(order),
        lambda: workflow(name="shop.nap")(nap),
    )
    found = {
        "RUN": start(napping.options(attributes={"customer": 7})),
        "DONE": start(ordering, Decimal(5)),
        "FAILED": start(ordering, Decimal(-1)),
    }
    workflows.run_until_idle()
    return found


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(
    example: str,
    runs: dict[str, Run],
    workflows: WorkflowTester,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert example.startswith(PREFIX)
    monkeypatch.chdir(tmp_path)
    for name, run in runs.items():
        example = example.replace(f"${name}", run.pk)
    command, _, file = example.removeprefix(PREFIX).partition(" > ")
    arguments = shlex.split(command)
    if arguments[0] in ENDLESS:
        parser().parse_args(arguments)
        return
    if arguments[0] == "resume":
        runs["RUN"].pause()
        workflows.run_until_idle()
    if "history.json" in arguments:
        Path("history.json").write_text(run_fully("export", runs["DONE"].pk)[1])
    code, out, err = run_fully(*arguments)
    assert (code, err) == (0, "")
    assert out or arguments[0] == "stream"
    if file:
        Path(file).write_text(out)


@pytest.mark.parametrize("name", dict(subcommands()))
def test_subcommand_is_documented_with_its_options(name: str) -> None:
    text = PAGE.read_text()
    assert any(line.startswith(f"{PREFIX}{name}") for line in EXAMPLES), "an example"
    assert re.search(rf"^\| .*`{name}`", text, re.MULTILINE), "a line of the table"
    for action in dict(subcommands())[name]._actions:
        if action.help == argparse.SUPPRESS:
            continue  # Django's own: the page tells of them all at once
        for option in action.option_strings:
            if option not in ("-h", "--help"):
                assert option in text
