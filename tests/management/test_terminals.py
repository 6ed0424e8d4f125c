"""Output on terminals and into files of all kinds, and Django's own options."""

from __future__ import annotations

import errno
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection

from django_workflows import start
from django_workflows.management.commands.workflows import Command
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.management.workflows import speaking


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Full(StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def run(workflows: WorkflowTester) -> Run:
    run = start(speaking.options(key="grün", attributes={"€": 7}), ["Größe 😀"])
    workflows.run_until_idle()
    run.refresh_from_db()
    return run


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("ascii", r"Gr\xf6\xdfe \U0001f600"), ("cp1252", r"Größe \U0001f600")],
)
@pytest.mark.parametrize("subcommand", ["show", "events"])
def test_what_an_output_has_no_characters_for_is_written_as_its_number(
    run: Run, encoding: str, text: str, subcommand: str
) -> None:
    out = TextIOWrapper(BytesIO(), encoding=encoding)
    call_command("workflows", subcommand, run.pk, stdout=out)
    out.seek(0)
    assert text in out.read()


@pytest.mark.parametrize("columns", ["1", "40", "79"])
def test_a_narrow_terminal_is_shown_whole_ids(
    run: Run, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out = Terminal()
    call_command("workflows", "list", stdout=out)
    assert run.pk in out.getvalue()
    assert run.status in out.getvalue()


@pytest.mark.parametrize("columns", [34, 40, 59])
@pytest.mark.parametrize(
    ("subcommand", "name"), [("show", "commands.speak"), ("events", "step_completed")]
)
def test_names_can_be_read_on_a_narrow_terminal(
    run: Run,
    subcommand: str,
    name: str,
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    call_command("workflows", subcommand, run.pk, stdout=out, no_color=True)
    table = out.getvalue().partition("─")[2].splitlines()
    assert any(name in line.split() for line in table)
    assert max(map(len, table)) <= columns


def test_a_wide_terminal_is_shown_all_columns(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "130")
    out = Terminal()
    call_command("workflows", "show", run.pk, stdout=out, no_color=True)
    head = ["seq", "what", "name", "status", "began", "took", "note"]
    assert head in [line.split() for line in out.getvalue().splitlines()]


def test_no_color_is_obeyed_on_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    colored, plain = Terminal(), Terminal()
    call_command("workflows", "list", stdout=colored)
    call_command("workflows", "list", stdout=plain, no_color=True)
    assert "\x1b" in colored.getvalue()
    assert "\x1b" not in plain.getvalue()


@pytest.mark.parametrize("option", ["--json", "--limit=5"])
def test_output_that_cannot_be_written_is_told_in_a_line(run: Run, option: str) -> None:
    with pytest.raises(CommandError, match="No space left"):
        call_command("workflows", "list", option, stdout=Full())


def test_what_the_database_says_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_args: Any) -> None:
        raise OperationalError("no connection\n\tIs the server running?\n")

    monkeypatch.setattr(connection, "ensure_connection", refuse)
    with pytest.raises(CommandError) as told:
        call_command("workflows", "list")
    assert "no connection Is the server running. Is it" in str(told.value)


def test_options_of_django_may_follow_the_subcommand() -> None:
    parser = Command().create_parser("manage.py", "workflows")

    def given(*arguments: str) -> dict[str, Any]:
        return vars(parser.parse_args(arguments))

    behind = given("list", "-v2", "--traceback", "--no-color", "--skip-checks")
    before = given("-v2", "--traceback", "--no-color", "--skip-checks", "list")
    assert behind == before
    assert behind["verbosity"] == 2
    assert behind["traceback"] is behind["no_color"] is behind["skip_checks"] is True
    assert given("list")["verbosity"] == 1
    assert given("list", "--settings", "a.b")["settings"] == "a.b"
