"""The colours of statuses can be read on every ground that Django's themes have."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

_GROUNDS = (
    "body-bg",
    "darkened-bg",
    "selected-bg",
    "selected-row",
    "message-error-bg",
)
#: WCAG 2.2, success criterion 1.4.3, level AA.
_ENOUGH = 4.5


def _source(name: str) -> str:
    found = finders.find(name)
    assert isinstance(found, str), name
    return Path(found).read_text()


def _statuses() -> dict[str, tuple[str, str]]:
    declared = re.findall(
        r"--(dw-[\w-]+): light-dark\((#\w+), (#\w+)\);",
        _source("django_workflows/admin/common.css"),
    )
    return {name: (light, dark) for name, light, dark in declared}


def _grounds(stylesheet: str) -> list[str]:
    """The grounds as the first block of one of Django's stylesheets has them."""
    text = _source(stylesheet)
    return [
        match[1]
        for name in _GROUNDS
        if (match := re.search(rf"--{name}: (#\w+);", text)) is not None
    ]


def _luminance(colour: str) -> float:
    digits = colour[1:]
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_what_wcag_defines() -> None:
    assert _contrast("#000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("theme", "stylesheet"),
    [(0, "admin/css/base.css"), (1, "admin/css/dark_mode.css")],
    ids=["light", "dark"],
)
def test_statuses_can_be_read(theme: int, stylesheet: str) -> None:
    statuses, grounds = _statuses(), _grounds(stylesheet)
    assert len(statuses) == 11
    assert len(grounds) == len(_GROUNDS)
    too_faint = [
        (name, colours[theme], ground)
        for (name, colours), ground in product(statuses.items(), grounds)
        if _contrast(colours[theme], ground) < _ENOUGH
    ]
    assert too_faint == []
