"""Workflows, actions and classes of definitions are known by name, in the whole
process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from django_workflows.definitions import actions
from django_workflows.definitions.classes import classes
from django_workflows.replay.registry import registry


@contextmanager
def registered_for_a_while() -> Iterator[None]:
    """Forget what is registered meanwhile: other tests and pages use the same names."""
    with (
        patch.dict(actions._registered),
        patch.object(actions, "_problems", []),
        patch.dict(classes._by_id),
        patch.object(classes, "_problems", []),
        patch.dict(registry._workflows),
        patch.dict(registry._newest),
        patch.dict(registry._steps),
        patch.object(registry, "_problems", []),
    ):
        yield
