"""Every example of the documentation runs, in the order in which a reader meets it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from django.db import transaction

from django_workflows.conf import DEFAULTS
from django_workflows.testing import WorkflowTester
from tests.definitions.registered import registered_for_a_while
from tests.docs.pages import PAGES, ROOT, Example, examples


@pytest.fixture
def module(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Return an importable module for one page: steps are found by their module."""
    page: Path = request.getfixturevalue("page")
    relative = page.relative_to(ROOT).with_suffix("")
    name = "_".join(relative.parts).replace("-", "_").lower() + "_examples"
    module = ModuleType(name)
    sys.modules[name] = module
    with registered_for_a_while():
        yield module
    del sys.modules[name]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if examples(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_examples_of_page_run(
    page: Path,
    module: ModuleType,
    workflows: WorkflowTester,
    settings: object,
) -> None:
    module.__dict__["workflows"] = workflows
    for example in examples(page):
        if example.kind == "settings":
            check_settings(page, example)
            continue
        known = set(vars(module))
        execute(page, example, vars(module))
        # A page about testing shows whole tests: these are called as pytest would.
        for name in sorted(set(vars(module)) - known):
            if name.startswith("test_"):
                call_with_fixtures(vars(module)[name], settings)


def execute(page: Path, example: Example, namespace: dict[str, object]) -> None:
    """Run a block so that its errors point at the line of the page."""
    source = "\n" * (example.line - 1) + example.source
    exec(compile(source, str(page), "exec", dont_inherit=True), namespace)


def call_with_fixtures(function: object, settings: object) -> None:
    """Call a test that a page shows, with fixtures and a database of its own."""
    assert callable(function)
    with transaction.atomic(), WorkflowTester() as tester:
        available = {"workflows": tester, "settings": settings}
        names = inspect.signature(function).parameters
        function(**{name: available[name] for name in names})
        transaction.set_rollback(True)


def check_settings(page: Path, example: Example) -> None:
    """Run a settings fragment; each key of `WORKFLOWS` in it must be a known one."""
    namespace: dict[str, object] = {}
    execute(page, example, namespace)
    declared = namespace.get("WORKFLOWS", {})
    assert isinstance(declared, dict)
    assert declared.keys() <= DEFAULTS.keys()
