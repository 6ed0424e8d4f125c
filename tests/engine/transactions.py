"""Transactions for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction, or a savepoint in one, that is rolled back at its end."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
