"""Values in pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string

from django_workflows.admin.payloads import LONGEST, Payload, payload_of, payload_text


def shown(payload: Payload | None) -> str:
    template = "admin/django_workflows/payload.html"
    return render_to_string(template, {"payload": payload, "id": "it"})


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": [1, "ü"]}])
def test_a_short_value_is_one_line(value: Any) -> None:
    assert "<code>" in shown(payload_of(value))
    assert "<details" not in shown(payload_of(value))


def test_a_long_value_is_folded_and_pretty() -> None:
    page = shown(payload_of({"items": list(range(100))}))
    assert '<details id="it">' in page
    assert "\n    99\n" in page
    assert "only its beginning" not in page


def test_a_very_long_value_is_cut() -> None:
    page = shown(payload_text("x" * LONGEST + "end"))
    assert "only its beginning" in page
    assert "end<" not in page


def test_markup_in_values_is_text() -> None:
    assert "<script>" not in shown(payload_of("<script>alert(1)</script>"))


def test_nothing_is_shown_to_those_who_may_not_see_it() -> None:
    assert "You may not see payloads." in shown(None)
