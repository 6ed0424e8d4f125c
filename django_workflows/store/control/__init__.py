"""What people do to runs."""

from __future__ import annotations

from django_workflows.store.control.cancelling import cancel
from django_workflows.store.control.copying import fork, replay
from django_workflows.store.control.pausing import pause, resume
from django_workflows.store.control.retrying import retry
from django_workflows.store.control.terminating import terminate
from django_workflows.store.control.waking import wake

__all__ = ["cancel", "fork", "pause", "replay", "resume", "retry", "terminate", "wake"]
