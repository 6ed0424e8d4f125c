"""The report at the end of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .books import Check


def print_report(
    console: Console, checks: Sequence[Check], facts: Sequence[str]
) -> bool:
    """Print the checks and what else is worth knowing; return whether all passed."""
    table = Table(
        title="What the database says", title_justify="left", title_style="bold"
    )
    table.add_column("")
    table.add_column("check")
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    for group, members in groupby(checks, key=lambda check: check.group):
        if group:
            table.add_section()
            table.add_row("", Text(group, style="bold"), "", "")
        for check in members:
            verdict = ("ok", "green") if check.passed else ("FAIL", "bold red")
            table.add_row(
                Text(*verdict),
                check.name,
                as_text(check.expected),
                as_text(check.found),
                style="" if check.passed else "bold red",
            )
    console.print()
    console.print(table)
    console.print()
    for fact in facts:
        console.print(
            fact, highlight=False, markup=False, soft_wrap=not console.is_terminal
        )
    failed = sum(not check.passed for check in checks)
    if failed:
        console.print(f"{failed} of {len(checks)} checks FAILED", style="bold red")
    else:
        console.print(
            f"All {len(checks)} checks passed: nothing lost, nothing doubled.",
            style="bold green",
        )
    return not failed


def as_text(value: Any) -> str:
    """Write a count or an amount for people."""
    if isinstance(value, tuple):
        return " / ".join(as_text(part) for part in value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
