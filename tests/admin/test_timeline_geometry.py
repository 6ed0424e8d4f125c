"""Where things lie on the time axis."""

from __future__ import annotations

import pytest
from django.utils.translation import override
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.admin.run_page.geometry import (
    NARROWEST,
    SHORTEST,
    Segment,
    Window,
    bars,
    chosen,
    crowd,
    ticks,
    time_text,
)

WHOLE = Window(0, 100)
DAY = 86400
_seconds = st.floats(min_value=0, max_value=400 * DAY, allow_nan=False)


def _texts(length: float, begin: float = 0) -> list[str]:
    return [tick.text for tick in ticks(Window(begin, begin + length))]


@pytest.mark.parametrize(
    ("length", "texts"),
    [
        (0.004, ["0", "1 ms", "2 ms", "3 ms", "4 ms"]),
        (0.0012, ["0", "0.2 ms", "0.4 ms", "0.6 ms", "0.8 ms", "1.0 ms", "1.2 ms"]),
        (1.2, ["0", "200 ms", "400 ms", "600 ms", "800 ms", "1.0 s", "1.2 s"]),
        (6, ["0", "1 s", "2 s", "3 s", "4 s", "5 s", "6 s"]),
        (61, ["0", "10 s", "20 s", "30 s", "40 s", "50 s", "1 min"]),
        (200, ["0", "30 s", "1 min", "1 min 30 s", "2 min", "2 min 30 s", "3 min"]),
        (3 * 3600, ["0", "30 min", "1 h", "1 h 30 min", "2 h", "2 h 30 min", "3 h"]),
        (30 * DAY, ["0", "7 d", "14 d", "21 d", "28 d"]),
        (3 * 365 * DAY, ["0", "180 d", "360 d", "540 d", "720 d", "900 d", "1080 d"]),
        (10 * 365 * DAY, ["0", "730 d", "1460 d", "2190 d", "2920 d", "3650 d"]),
    ],
)
def test_ticks_are_at_round_times(length: float, texts: list[str]) -> None:
    assert _texts(length) == texts


def test_ticks_of_a_part_tell_the_time_since_the_start() -> None:
    assert _texts(2, 3 * DAY + 59.9) == [
        "3 d 1 min",
        "3 d 1 min 0.5 s",
        "3 d 1 min 1.0 s",
        "3 d 1 min 1.5 s",
    ]


def test_ticks_are_written_in_the_users_language_and_placed_in_none() -> None:
    with override("de"):
        drawn = ticks(Window(0, 3))
    assert (drawn[3].x, drawn[3].text) == ("50%", "1,5 s")
    assert drawn[1].x == "16.667%"


def test_texts_of_the_first_and_the_last_tick_stay_inside() -> None:
    anchors = [tick.anchor for tick in ticks(Window(0, 6))]
    assert anchors == ["start", *["middle"] * 5, "end"]


@given(_seconds, st.floats(min_value=SHORTEST, max_value=400 * DAY))
def test_no_part_has_too_many_ticks_or_two_of_the_same_text(
    begin: float, length: float
) -> None:
    texts = _texts(length, begin)
    assert len(texts) <= 8
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("given_begin", "given_end", "window"),
    [
        ("10", "20.5", Window(10, 20.5)),
        ("-5", "5", Window(0, 10)),
        ("95", "105", Window(90, 100)),
        ("-1", "1000", WHOLE),
        ("200", "210", Window(90, 100)),
        ("20", "10", WHOLE),
        ("7", "7", WHOLE),
        ("", "", WHOLE),
        ("nan", "5", WHOLE),
        ("0", "inf", WHOLE),
        ("1e999", "2", WHOLE),
        ("<script>", "5", WHOLE),
    ],
)
def test_a_part_is_chosen_by_two_texts(
    given_begin: str, given_end: str, window: Window
) -> None:
    assert chosen(given_begin, given_end, WHOLE) == window


def test_what_is_too_short_to_be_looked_at_is_made_longer() -> None:
    window = chosen("5", "5.0000001", WHOLE)
    assert window.length == pytest.approx(SHORTEST)


def test_zooming_keeps_the_middle_and_stays_inside() -> None:
    assert Window(40, 60).zoomed(0.5, WHOLE) == Window(45, 55)
    assert Window(40, 60).zoomed(2, WHOLE) == Window(30, 70)
    assert Window(0, 60).zoomed(2, WHOLE) == WHOLE
    assert Window(80, 100).zoomed(2, WHOLE) == Window(60, 100)


def test_moving_keeps_the_length_and_stays_inside() -> None:
    assert Window(40, 60).moved(0.5, WHOLE) == Window(50, 70)
    assert Window(40, 60).moved(-0.5, WHOLE) == Window(30, 50)
    assert Window(5, 25).moved(-0.5, WHOLE) == Window(0, 20)
    assert Window(75, 95).moved(0.5, WHOLE) == Window(80, 100)


def test_what_cannot_be_moved_is_the_same() -> None:
    for length in (30.8 + 0.362, 31.123457, 1 / 3, 86_400.1):
        whole = Window(0, length)
        last = Window(length - 0.1, length)
        assert whole.moved(0.5, whole) == whole.moved(-0.5, whole) == whole
        assert last.moved(0.5, whole) == last


def test_what_is_zoomed_to_has_space_around_it() -> None:
    assert WHOLE.around(20, 30) == Window(19, 31)
    moment = WHOLE.around(20, 20)
    assert moment.begin < 20 < moment.end


@given(*[_seconds] * 4, st.floats(min_value=0.01, max_value=100))
def test_no_window_leaves_the_whole(
    begin: float, length: float, other: float, total: float, factor: float
) -> None:
    whole = Window(0, max(total, SHORTEST))
    window = Window(begin, begin + length + SHORTEST).within(whole)
    for each in (
        window,
        window.zoomed(factor, whole),
        window.moved(factor, whole),
        window.moved(-factor, whole),
        whole.around(min(begin, other), max(begin, other)),
    ):
        assert whole.begin <= each.begin < each.end <= whole.end * (1 + 1e-9)


def _segment(begin: float, end: float) -> Segment:
    return Segment(begin, end, "completed", "attempt 1")


def test_bars_are_to_scale_and_cut_at_the_edges() -> None:
    segments = [_segment(0, 30), _segment(30, 45), _segment(55, 90), _segment(95, 99)]
    drawn = bars(segments, Window(20, 60))
    assert [(bar.x, bar.width) for bar in drawn] == [
        ("0%", "25%"),
        ("25%", "37.5%"),
        ("87.5%", "12.5%"),
    ]


def test_what_takes_no_time_is_seen_even_at_the_end() -> None:
    drawn = bars([_segment(50, 50), _segment(100, 100)], WHOLE)
    assert not any(bar.is_wide for bar in drawn)
    assert [(bar.x, bar.width) for bar in drawn] == [
        ("50%", f"{NARROWEST}%"),
        (f"{100 - NARROWEST}%", f"{NARROWEST}%"),
    ]


def test_a_crowd_is_counted_part_by_part() -> None:
    spans = [(0.0, 9.0), (5.0, 25.0), (25.0, 25.0), (90.0, 100.0), (120.0, 130.0)]
    assert crowd(spans, WHOLE, 10) == [2, 1, 2, 0, 0, 0, 0, 0, 0, 1]
    assert crowd([], WHOLE, 3) == [0, 0, 0]


@pytest.mark.parametrize(
    ("seconds", "step", "text"),
    [
        (0, 1, "0"),
        (0.25, 0.05, "250 ms"),
        (2.25, 0.05, "2.25 s"),
        (59.999, 1, "1 min"),
        (3600 + 300, 60, "1 h 5 min"),
        (DAY, 3600, "1 d"),
    ],
)
def test_times_are_as_exact_as_they_have_to_be(
    seconds: float, step: float, text: str
) -> None:
    assert time_text(seconds, step) == text
