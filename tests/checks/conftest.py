"""Workflows that are registered for one test only."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from django_workflows.checks import definitions as definitions_check
from django_workflows.checks import sources as sources_check
from django_workflows.definitions import actions
from django_workflows.definitions import classes as defined_classes
from django_workflows.replay import definitions
from django_workflows.replay.registry import Registry

Define = Callable[[str], ModuleType]

_numbers = itertools.count()


@pytest.fixture
def define(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Define:
    """Import a source text as a module, with registries of its own."""
    registry = Registry()
    for module in (definitions, definitions_check, sources_check):
        monkeypatch.setattr(module, "registry", registry)
    classes = defined_classes.Classes()
    for module in (defined_classes, definitions_check, actions):
        monkeypatch.setattr(module, "classes", classes)
    monkeypatch.setattr(actions, "_registered", {})
    monkeypatch.setattr(actions, "_problems", [])
    monkeypatch.syspath_prepend(str(tmp_path))

    def define(source: str) -> ModuleType:
        name = f"checked_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        monkeypatch.delitem(sys.modules, name)
        return module

    return define
