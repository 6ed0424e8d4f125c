"""Histories that earlier code has left behind: today's code has to follow them.

They were exported from executions of one definition with conditions, retries, a wait
and an error branch: one that waits, and one that has ended. In those ``without-titles``
the log does not tell the definition's steps by their ids.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.management.commands import run_command

HISTORIES = sorted(Path(__file__).with_name("histories").glob("*.json"))


@pytest.mark.django_db
def test_histories_are_followed() -> None:
    assert len(HISTORIES) == 4
    assert run_command("check-replay", *map(str, HISTORIES)) == (
        0,
        "4 histories replayed, 0 would break.\n",
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("recorded", "instead"),
    [
        # Another order of steps, another condition, no wait.
        (r"[\"reserve\",\"score\"]", r"[\"score\"]"),
        ("score.risk < 0.3", "score.risk > 0.3"),
        (r"\"wait\":\"2d\",", ""),
    ],
)
@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
def test_what_does_not_fit_is_noticed(
    file: Path, recorded: str, instead: str, tmp_path: Path
) -> None:
    text = file.read_text()
    assert recorded in text
    other = tmp_path / file.name
    other.write_text(text.replace(recorded, instead))
    code, report = run_command("check-replay", str(other))
    assert code == 1
    assert "NonDeterminismError" in report
