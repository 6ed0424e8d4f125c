"""Parameters with expressions in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.expressions import (
    ExpressionError,
    MissingNameError,
    compile_template,
)

SCOPE: dict[str, Any] = {
    "input": {"id": 7, "name": "Ann", "tags": ["a", "b"], "none": None},
    "total": 12.5,
    "trick": "{{ input.id }}",
}


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("{{ input.id }}", 7),
        ("  {{input.tags}} ", ["a", "b"]),
        ("{{ input.none }}", None),
        ("Order {{ input.id }} for {{ input.name }}", "Order 7 for Ann"),
        ("{{ input.id }}{{ input.id }}", "77"),
        ("{{ input.id }}/{{ input.none }}", "7/null"),
        ("has {{ total > 10 }}", "has true"),
        ("tags {{ input.tags }}", 'tags ["a", "b"]'),
        ("{{ '}}' }} {{ \"{{\" }}", "}} {{"),
        ("{{ trick }}", "{{ input.id }}"),
        ("x {{ trick }}", "x {{ input.id }}"),
        ("{ input.id } }}", "{ input.id } }}"),
        ({"a": ["{{ total }}", None], "b": {}}, {"a": [12.5, None], "b": {}}),
        ({"{{ total }}": 1}, {"{{ total }}": 1}),
        ((1, "{{ total }}"), [1, 12.5]),
        (True, True),
    ],
)
def test_rendered(given: Any, value: Any) -> None:
    assert compile_template(given).render(SCOPE) == value


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{{ input.id", "'}}' is missing"),
        ("a {{ }}", "an expression is missing"),
        (["{{ f() }}"], "nothing can be called"),
        ("{{ 'a }}", "a text without an end"),
    ],
)
def test_what_cannot_be_read_is_refused(given: Any, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_template(given)
    assert says in str(caught.value)


def test_names_are_checked_at_any_depth() -> None:
    template = compile_template({"a": [{"b": "{{ input.id }} {{ nope }}"}]})
    with pytest.raises(MissingNameError, match=r"'nope'; there are: input"):
        template.check_names({"input"})
    with pytest.raises(MissingNameError, match="'nope'"):
        template.render(SCOPE)


def test_nesting_and_size_are_bounded() -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    with pytest.raises(ExpressionError, match="levels"):
        compile_template(deep)
    with pytest.raises(ExpressionError, match="characters"):
        compile_template("{{ a }}-{{ a }}").render({"a": "x" * 60_000})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=10,
)


@given(_JSON)
def test_values_without_expressions_stay_as_they_are(value: Any) -> None:
    try:
        template = compile_template(value)
    except ExpressionError:
        assert "{{" in repr(value)
    else:
        if "{{" not in repr(value):
            assert template.render({}) == value
