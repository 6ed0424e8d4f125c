"""Pages that are made of panels."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any


def panels_of(
    modules: Sequence[ModuleType], about: object, folder: str
) -> list[dict[str, Any]]:
    """What a page shows: of each module what its `panel(about)` returns, unless that is
    None, with the module's name, and the template of that name in a folder of
    `admin/django_workflows/`."""
    panels = []
    for module in modules:
        shown = module.panel(about)
        if shown is not None:
            name = module.__name__.rpartition(".")[2]
            template = f"admin/django_workflows/{folder}/{name}.html"
            panels.append({"name": name, "template": template, **shown})
    return panels
