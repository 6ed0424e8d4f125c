"""What people do to runs: cancel and terminate."""

from __future__ import annotations

from django_workflows.store.control.cancelling import cancel
from django_workflows.store.control.terminating import terminate

__all__ = ["cancel", "terminate"]
