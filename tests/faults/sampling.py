"""How much the fault tests try: some of it each time, all of it with ``FAULTS=all``."""

from __future__ import annotations

import os
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

ALL = os.environ.get("FAULTS") == "all"


def unless_all(few: T, many: T) -> T:
    """How many to try."""
    return many if ALL else few


def sample(count: int, every: int) -> range:
    """Which of so many points to try: every n-th, and on each database others."""
    if ALL:
        return range(count)
    first = 0 if connection.vendor == "sqlite" else min(every // 2, count - 1)
    return range(first, count, every)
