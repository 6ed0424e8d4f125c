"""Calls ``manage.py workflows`` in the test's own process."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from django.core.management import call_command


def run_command(*arguments: str) -> tuple[int, str]:
    """The exit code and what was printed."""
    code, out, _err = run_fully(*arguments)
    return code, out


def run_fully(*arguments: str) -> tuple[int, str, str]:
    """The exit code and what was printed to each output."""
    out, err = StringIO(), StringIO()
    code = 0
    try:
        call_command("workflows", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


def document(*arguments: str) -> Any:
    """The one JSON document that a subcommand prints with ``--json``."""
    code, out = run_command(*arguments, "--json")
    assert code == 0
    return json.loads(out)
