"""What only newer code has."""

from __future__ import annotations

import os
from typing import Any

from django_workflows.definitions import action


@action("place_anew")
def place_anew(params: Any) -> int:
    """Returns the process."""
    return os.getpid()
