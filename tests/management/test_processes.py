"""Commands as processes: on a terminal, in a pipe, and the codes they end with."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection

from django_workflows import resume_hook, start
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.cluster.harness import ClusterProcess
from tests.databases import url_of
from tests.management.terminal import Terminal
from tests.management.workflows import approved

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux"),
    pytest.mark.usefixtures("transactional_db", "sessions_end"),
]


@pytest.fixture
def waiting(transactional_db: None, workflows: WorkflowTester) -> Run:
    """It has made one of its ten payments, and waits to be told to go on."""
    run = start(approved, [Decimal(amount) for amount in range(10)])
    workflows.run_until_idle()
    return run


def go_on(workflows: WorkflowTester) -> None:
    resume_hook("approval", None)
    workflows.run_until_idle()


def on_terminal(*arguments: str, rows: int = 24, columns: int = 80) -> Terminal:
    url = url_of(connection.settings_dict)
    return Terminal(url, *arguments, rows=rows, columns=columns)


def test_a_run_is_drawn_anew_until_it_has_ended(
    waiting: Run, workflows: WorkflowTester
) -> None:
    with on_terminal("show", waiting.pk, "--follow", rows=20, columns=50) as terminal:
        seen = terminal.until("status:    running", "commands.pay")
        assert seen.count("commands.pay") == 1
        assert not terminal.screen.has_cursor()
        go_on(workflows)
        assert terminal.end() == 0
    seen = terminal.screen.text
    assert terminal.screen.has_cursor()
    # Nothing of it is left twice, and in the end all of it is there.
    assert seen.count("run: ") == seen.count(waiting.pk) == 1
    assert "status:    completed" in seen
    assert seen.count("commands.pay") == 10
    assert "running" not in seen


def test_ctrl_c_ends_what_only_looks_on(waiting: Run) -> None:
    with on_terminal("show", waiting.pk, "--follow") as terminal:
        terminal.until("status:    running", "hook")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert terminal.screen.has_cursor()
    assert "Traceback" not in terminal.screen.text
    waiting.refresh_from_db()
    assert waiting.status == "running"


def test_who_reads_the_output_may_go(waiting: Run, workflows: WorkflowTester) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.cluster.settings",
        "DATABASE_URL": url_of(connection.settings_dict),
    }
    command = [sys.executable, "-m", "django", "workflows", "show", waiting.pk]
    with subprocess.Popen(
        [*command, "--follow"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "run_created" in process.stdout.readline()
        process.stdout.close()
        go_on(workflows)
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("list",), 0, "id  workflow  status"),
        (("show", "wrun_x"), 1, "CommandError: there is no workflow run 'wrun_x'"),
        (("list", "--sideways"), 2, "error: unrecognized arguments: --sideways"),
        (("list", "--limit"), 2, "error: argument --limit: expected one argument"),
    ],
)
def test_the_exit_code_tells_whether_it_was_done(
    tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    url = url_of(connection.settings_dict)
    with ClusterProcess(url, tmp_path, "workflows", *arguments) as process:
        assert process.end() == code
    assert told in process.log().splitlines()[-1]
