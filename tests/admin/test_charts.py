"""Charts as numbers, without Django."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.admin.dashboard.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    NARROW,
    RIGHT,
    TOP,
    WIDE,
    Chart,
    Column,
    Scale,
    Series,
    added,
    levels,
    lines,
    stacked_bars,
)

FLOOR = HEIGHT - BOTTOM


def columns(count: int) -> list[Column]:
    return [Column(str(number), f"column {number}") for number in range(count)]


def write(value: float) -> str:
    return f"<{value:g}>"


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (10, [0, 5, 10]),
        (17, [0, 5, 10, 15, 20]),
        (100, [0, 50, 100]),
        (1234, [0, 500, 1000, 1500]),
    ],
)
def test_levels_are_round(most: float, expected: list[float]) -> None:
    assert levels(most) == expected


@given(st.floats(0, 1e15))
def test_levels_reach_every_value_with_few_steps(most: float) -> None:
    found = levels(most)
    assert found[0] == 0
    assert found[-1] >= most
    assert 2 <= len(found) <= 6


def test_a_scale_goes_from_the_bottom_to_the_top() -> None:
    assert [Scale(50).y(value) for value in (0, 25, 50)] == [
        FLOOR,
        (TOP + FLOOR) / 2,
        TOP,
    ]
    assert Scale(0).y(0) == FLOOR


def test_bars_stand_on_each_other() -> None:
    chart = stacked_bars(
        columns(2),
        [Series("completed", "done", [3, 0]), Series("failed", "failed", [1, 2])],
        write,
    )
    done, failed, alone = chart.bars
    assert [bar.name for bar in chart.bars] == ["completed", "failed", "failed"]
    assert float(done.y) + float(done.height) == pytest.approx(FLOOR)
    assert float(failed.y) + float(failed.height) == pytest.approx(float(done.y))
    # Four levels of one each: the sums decide, not the largest value.
    assert float(failed.y) == TOP
    assert float(done.height) == pytest.approx(3 * float(failed.height), abs=0.02)
    assert float(alone.y) + float(alone.height) == pytest.approx(FLOOR)
    assert float(alone.x) > float(done.x) + float(done.width)
    assert failed.hint == "column 0: failed <1>"
    assert [level.label for level in chart.levels] == [
        "<0>",
        "<1>",
        "<2>",
        "<3>",
        "<4>",
    ]
    assert [row.name for row in chart.table] == ["column 0", "column 1"]
    assert [row.values for row in chart.table] == [("<3>", "<1>"), ("<0>", "<2>")]


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=60),
    st.sampled_from([WIDE, NARROW]),
)
def test_everything_is_inside_of_the_plot(values: list[int], width: int) -> None:
    series = [Series("one", "one", values), Series("two", "two", values)]
    bars = stacked_bars(columns(len(values)), series, write, width=width)
    for bar in bars.bars:
        assert float(bar.x) >= LEFT
        assert float(bar.x) + float(bar.width) <= width - RIGHT + 0.02
        assert float(bar.y) >= TOP - 0.01
        assert float(bar.y) + float(bar.height) <= FLOOR + 0.02
    for line in lines(columns(len(values)), series, write, width=width).lines:
        for point in line.points.split():
            x, y = map(float, point.split(","))
            assert LEFT <= x <= width - RIGHT
            assert TOP - 0.01 <= y <= FLOOR + 0.01
    assert_labels_are_apart(bars, len(values))


def assert_labels_are_apart(chart: Chart, count: int) -> None:
    """The last column has one, and no two touch."""
    assert chart.labels[-1].label == str(count - 1)
    places = [float(label.at) for label in chart.labels]
    gaps = [right - left for left, right in itertools.pairwise(places)]
    assert all(gap >= 79.9 for gap in gaps)


def test_a_line_has_a_point_for_each_column_and_ends_at_the_last_value() -> None:
    chart = lines(columns(3), [Series("ended", "ended", [0, 10, 5])], write)
    [line] = chart.lines
    points = [tuple(map(float, point.split(","))) for point in line.points.split()]
    assert [y for _, y in points] == [FLOOR, TOP, (TOP + FLOOR) / 2]
    assert (float(line.x), float(line.y)) == points[-1]
    assert line.hint == "ended: <5>"


def test_coordinates_are_svg_in_every_language() -> None:
    """No commas for decimals, no separators in large numbers, no exponents."""
    chart = stacked_bars(columns(7), [Series("a", "a", [1e-7, 1e9] * 3 + [1])], write)
    for bar in chart.bars:
        for text in (bar.x, bar.y, bar.width, bar.height):
            assert set(text) <= set("0123456789."), text


def test_nothing_to_show_is_a_chart_too() -> None:
    for draw in (stacked_bars, lines):
        chart = draw([], [], write)
        assert (chart.bars, chart.lines, chart.labels, chart.table) == ([], [], [], [])
        assert chart.is_empty
    assert lines(columns(2), [Series("a", "a", [0, 0])], write).is_empty
    assert not lines(columns(2), [Series("a", "a", [0, 1])], write).is_empty


def test_rows_of_numbers_are_added() -> None:
    assert added([1, 2], [10, 20]) == [11, 22]
    assert added() == []
