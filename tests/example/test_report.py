from __future__ import annotations

import io
from decimal import Decimal

from rich.console import Console

from example_project.shop.demo.books import Check
from example_project.shop.demo.progress import (
    ClusterState,
    Snapshot,
    make_display,
    stacked_bar,
)
from example_project.shop.demo.report import as_text, print_report


def make_console() -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, width=120), output


def test_print_report_all_passed() -> None:
    console, output = make_console()
    assert print_report(console, [Check("orders closed", 830, 830)], ["3 SIGKILLs"])
    assert "All 1 checks passed" in output.getvalue()
    assert "3 SIGKILLs" in output.getvalue()


def test_print_report_names_what_failed() -> None:
    console, output = make_console()
    assert not print_report(console, [Check("orders closed", 830, 829)], [])
    line = next(line for line in output.getvalue().splitlines() if "829" in line)
    assert "FAIL" in line
    assert "orders closed" in line


def test_as_text_of_amounts() -> None:
    assert as_text(Decimal("1265793.04")) == "1,265,793.04"
    assert as_text((830, 829)) == "830 / 829"
    assert as_text(True) == "True"


SNAPSHOT = Snapshot(
    orders=4,
    placed=0,
    priced=0,
    waiting_lines=0,
    paid=3,
    shipped=0,
    delivered=3,
    cancelled=1,
    purchases=2,
    purchases_received=2,
    payment_requests=5,
)
STATES = [ClusterState("cluster 1", True, 2), ClusterState("cluster 2", False, 0)]


def test_display_without_a_terminal_prints_plain_lines() -> None:
    console, output = make_console()
    with make_display(console, "Northwind") as display:
        display.show(SNAPSHOT, STATES)
        display.say("SIGKILL: worker 7 of cluster 1", "bold red")
    assert SNAPSHOT.closed == 4
    assert SNAPSHOT.decided == 1.0
    lines = output.getvalue().splitlines()
    assert "4/4 closed: 3 delivered, 1 cancelled" in lines[0]
    assert lines[1].endswith("SIGKILL: worker 7 of cluster 1")


def test_display_on_a_terminal_draws_a_panel() -> None:
    output = io.StringIO()
    console = Console(file=output, width=90, force_terminal=True, color_system=None)
    with make_display(console, "Northwind") as display:
        display.show(SNAPSHOT, STATES)
        display.say("SIGKILL: worker 7 of cluster 1", "bold red")
    shown = output.getvalue()
    assert "Northwind" in shown
    assert "4 of 4 closed" in shown
    assert "● cluster 1 (killed 2x)   ○ cluster 2" in shown


def test_stacked_bar_has_its_width_and_hides_nothing() -> None:
    counts = [(1, "green"), (828, "cyan"), (0, "red"), (1, "yellow")]
    bar = stacked_bar(counts, 60)
    assert bar.plain == "█" * 60
    assert [span.style for span in bar.spans] == ["green", "cyan", "yellow"]
    assert stacked_bar([(0, "green")], 60).plain == ""
