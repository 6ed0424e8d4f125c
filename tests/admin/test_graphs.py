"""Pictures of definitions: where boxes and lines lie, and what they say."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from django.template.loader import render_to_string
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.admin.definitions.graph_layout import Layout, lay_out
from django_workflows.admin.definitions.graph_order import (
    Edge,
    TooLargeError,
    layers_of,
)
from django_workflows.admin.definitions.graphs import (
    Picture,
    State,
    picture_of,
    shortened,
)
from django_workflows.definitions import WorkflowDefinition
from django_workflows.definitions.reading import read_definition

Graph = tuple[dict[str, tuple[int, int]], list[Edge]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Boxes of any sizes; lines lead from earlier ones to later ones."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 16)))]
    size = st.tuples(st.integers(20, 240), st.integers(20, 120))
    sizes = {name: draw(size) for name in names}
    pairs = list(combinations(names, 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    kinds = st.sampled_from(["after", "error"])
    edges = [(source, target, draw(kinds)) for source, target in chosen]
    return dict(draw(st.permutations(list(sizes.items())))), edges


@given(graphs())
def test_boxes_do_not_overlap_and_all_is_in_the_picture(graph: Graph) -> None:
    sizes, edges = graph
    layout = lay_out(sizes, edges)
    assert {key: (box.width, box.height) for key, box in layout.boxes.items()} == sizes
    for one, other in combinations(layout.boxes.values(), 2):
        is_beside = one.x + one.width < other.x or other.x + other.width < one.x
        is_above = one.bottom < other.y or other.bottom < one.y
        assert is_beside or is_above
    for box in layout.boxes.values():
        assert box.x > 0
        assert box.y > 0
        assert box.x + box.width < layout.width
        assert box.bottom < layout.height
    for line in layout.lines:
        for x, y in (line.start, line.end):
            assert 0 < x < layout.width
            assert 0 < y < layout.height


@given(graphs())
def test_every_line_goes_down_and_through_no_box(graph: Graph) -> None:
    layout = lay_out(*graph)
    for line in layout.lines:
        (x, top), (_, end) = line.start, line.end
        assert top <= line.leaves_at < end
        for box in layout.boxes.values():
            # Where it may be anything but vertical there are no boxes at all.
            assert box.bottom <= line.leaves_at or box.y >= end
            if box.y < line.leaves_at and box.bottom > top:
                assert x < box.x or x > box.x + box.width


@given(graphs())
def test_lines_lead_from_each_box_to_those_after_it_and_to_no_other(
    graph: Graph,
) -> None:
    sizes, edges = graph
    layout = lay_out(sizes, edges)
    assert set(_reached(layout)) == set(edges)


def _reached(layout: Layout) -> list[Edge]:
    """The edges that somebody sees who follows the lines with a finger."""
    found: list[Edge] = []
    for source, box in layout.boxes.items():
        for kind in ("after", "error"):
            at = [(box.center, box.bottom)]
            for x, y in at:
                for line in layout.lines:
                    if line.kind == kind and line.start == (x, y):
                        if line.target:
                            found.append((source, line.target, kind))
                        else:
                            at.append(line.end)
    return found


@given(graphs())
def test_layers_are_as_few_as_can_be(graph: Graph) -> None:
    sizes, edges = graph
    layers = layers_of(sizes, edges)
    for key, layer in layers.items():
        before = [layers[source] for source, target, _ in edges if target == key]
        assert layer == (max(before) + 1 if before else 0)


def test_a_chain_is_straight() -> None:
    names = [f"s{number}" for number in range(200)]
    edges = [(a, b, "after") for a, b in pairwise(names)]
    layout = lay_out(dict.fromkeys(names, (220, 60)), edges)
    assert {box.center for box in layout.boxes.values()} == {layout.width // 2}
    tops = [layout.boxes[name].y for name in names]
    assert tops == sorted(tops)


def test_crossings_are_undone() -> None:
    names = ["a", "b", "c", "z", "y", "x"]
    edges = [("a", "x", "after"), ("b", "y", "after"), ("c", "z", "after")]
    boxes = lay_out(dict.fromkeys(names, (100, 40)), edges).boxes
    assert [boxes[name].x for name in "abc"] == [boxes[name].x for name in "xyz"]


def test_a_circle_is_refused() -> None:
    sizes = {"a": (100, 40), "b": (100, 40)}
    with pytest.raises(ValueError, match="circle"):
        lay_out(sizes, [("a", "b", "after"), ("b", "a", "after")])


def test_more_than_anybody_can_follow_is_refused() -> None:
    names = [f"s{number}" for number in range(200)]
    edges = [(a, b, "after") for a, b in combinations(names, 2)]
    with pytest.raises(TooLargeError):
        lay_out(dict.fromkeys(names, (220, 60)), edges)


def definition(*steps: dict[str, Any]) -> WorkflowDefinition:
    given = [{"action": "noop", **step} for step in steps]
    return read_definition({"id": "order", "name": "An order", "steps": given})


def shown(picture: Picture) -> str:
    return render_to_string("admin/django_workflows/graph.html", {"picture": picture})


def test_conditions_waits_and_error_branches_are_seen() -> None:
    picture = picture_of(
        definition(
            {"id": "check", "name": "Check <the> card", "wait": "90s"},
            {
                "id": "charge",
                "dependsOn": ["check"],
                "condition": "input.total > 100",
                "onError": "branch",
                "errorBranch": "noop",
                "maxRetries": 2,
                "timeout": "5m",
            },
            {"id": "tell", "dependsOn": ["charge"], "onError": "continue"},
        )
    )
    facts = {step.id: step.facts for step in picture.steps}
    assert facts == {
        "check": ["noop", "waits 1 min 30 s"],
        "charge": [
            "noop",
            "if input.total > 100",
            "at most 5 min",
            "up to 2 retries",
            "if it fails: noop",
        ],
        "tell": ["noop", "if it fails: goes on"],
        "noop": [],
    }
    assert picture.layout is not None
    kinds = [(line.kind, line.target) for line in picture.layout.lines]
    assert kinds == [("after", "charge"), ("after", "tell"), ("error", "noop")]
    html = shown(picture)
    ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])
    assert "if input.total &gt; 100" in html
    assert "Check &lt;the&gt; card" in html
    assert 'role="img"' in html
    # What is drawn is told in words as well.
    words = html[html.index("<ol") :]
    assert "waits 1 min 30 s" in words
    assert "after charge; runs if this fails: charge" in words


def test_states_are_text_and_links() -> None:
    steps: list[dict[str, Any]] = [{"id": "one"}, {"id": "two", "dependsOn": ["one"]}]
    states = {"one": State("failed", 3, "#step_1"), "two": State("ahead")}
    html = shown(picture_of(definition(*steps), states))
    assert "failed, 3 attempts" in html
    assert "not yet" in html
    assert html.count('<a href="#step_1">') == 2
    assert 'role="group"' in html


def test_long_texts_are_cut_and_whole_in_the_title() -> None:
    name = "Reconcile the warehouse with the accounts"
    html = shown(picture_of(definition({"id": "one", "name": name})))
    assert "Reconcile the warehouse with…" in html
    assert f"<title>{name}" in html
    assert shortened("倉庫" * 20) == "倉庫" * 6 + "倉…"


def test_200_steps_side_by_side_and_in_a_row_are_drawn() -> None:
    wide: list[dict[str, Any]] = [
        {"id": f"s{n}", "dependsOn": ["a"]} for n in range(198)
    ]
    end = {"id": "z", "dependsOn": [step["id"] for step in wide]}
    picture = picture_of(definition({"id": "a"}, *wide, end))
    assert picture.layout is not None
    assert len({step.box.y for step in picture.steps if step.box}) == 3
    long = [{"id": f"s{n}", "dependsOn": [f"s{n - 1}"][:n]} for n in range(200)]
    picture = picture_of(definition(*long))
    assert picture.layout is not None
    assert len({step.box.y for step in picture.steps if step.box}) == 200


def test_what_is_too_much_for_a_picture_is_a_list() -> None:
    everything = [
        {"id": f"s{n}", "dependsOn": [f"s{m}" for m in range(n)]} for n in range(120)
    ]
    html = shown(picture_of(definition(*everything)))
    assert "<svg" not in html
    assert html.count("<li>") == 120
