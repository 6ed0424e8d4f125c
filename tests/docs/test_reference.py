"""The reference pages name everything that there is, with today's defaults."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from django_workflows import errors
from django_workflows.conf import DEFAULTS
from django_workflows.replay import events
from django_workflows.replay.options import STEP_OPTION_NAMES
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"
_ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<default>[^|]*) \|", re.MULTILINE)


@pytest.mark.parametrize("key", DEFAULTS)
def test_setting_is_documented_with_its_default(key: str) -> None:
    page = (DOCS / "settings.md").read_text()
    documented = {match["name"]: match["default"] for match in _ROW.finditer(page)}
    default = ast.literal_eval(documented[key].strip("`"))
    assert default == DEFAULTS[key]


def test_no_setting_is_documented_that_is_not_there() -> None:
    page = (DOCS / "settings.md").read_text()
    assert {match["name"] for match in _ROW.finditer(page)} == set(DEFAULTS)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value)
        and issubclass(value, errors.WorkflowError)
        and not name.startswith("_")
    ],
)
def test_error_is_documented(name: str) -> None:
    assert f"`{name}" in (DOCS / "reference" / "errors.md").read_text()


@pytest.mark.parametrize("name", STEP_OPTION_NAMES)
def test_step_option_is_documented(name: str) -> None:
    assert f"| `{name}`" in (DOCS / "reference" / "step-options.md").read_text()


def test_events_documented_are_those_that_are_recorded() -> None:
    page = (DOCS / "reference" / "events.md").read_text()
    types = {
        value
        for name, value in vars(events).items()
        if name.isupper() and isinstance(value, str)
    }
    assert {match["name"] for match in _ROW.finditer(page)} == types
