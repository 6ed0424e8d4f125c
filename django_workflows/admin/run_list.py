"""The list of runs."""

from __future__ import annotations

from django_workflows.admin.keyset import LongListAdmin
from django_workflows.models import Run


class RunList(LongListAdmin[Run]):
    """Runs, the newest first."""

    ordering = ("-created_at", "-id")
    search_fields = ("id",)
    list_filter = ("status",)
    list_display = ("id", "workflow", "status", "created_at")
