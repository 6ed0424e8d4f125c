"""The line of code that people want to see."""

from __future__ import annotations

from pathlib import Path

from django_workflows.core.code_lines import code_line, named_line


def test_a_line_that_a_message_names_is_shown_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_text("first\n    second = 2\n")
    line = named_line(f"it no longer follows its log ({file}:2). Deploy ({file}:1).")
    assert line is not None
    assert (line.file, line.line, line.code) == (str(file), 2, "second = 2")
    assert str(line) == f"{file}:2"


def test_a_file_that_is_gone_has_no_code() -> None:
    line = named_line("at /nowhere/orders.py:7: no")
    assert line is not None
    assert (line.line, line.code) == (7, "")


def test_a_message_without_a_place_names_no_line() -> None:
    assert named_line("three workers died at 12:30") is None


def test_a_traceback_names_the_innermost_line_of_the_project() -> None:
    text = """Traceback (most recent call last):
  File "/srv/shop/orders.py", line 3, in order
    charge()
  File "/srv/shop/cards.py", line 9, in charge
    raise ValueError
"""
    line = code_line(text)
    assert line is not None
    assert str(line) == "/srv/shop/cards.py:9 in charge"
    assert line.code == "raise ValueError"


def test_a_message_that_is_one_endless_word_is_read_in_no_time() -> None:
    assert named_line("x" * 1_000_000) is None
