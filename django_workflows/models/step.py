"""Attempts of steps: who may run one, and who decides how it ended."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Step(models.Model):
    """A step of a run, and the only arbiter of its attempt.

    Every end of an attempt, from whatever process, is an update of this row where
    ``attempt`` and ``status`` still are as they were at its start; who changes no row
    has lost. An ordinary step that the run's owner runs itself gets its row when it
    ends, or as soon as it takes long or outlives the owner's hold on the run.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        RUNNING = "running", _("running")
        COMPLETED = "completed", _("completed")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    id = models.CharField(primary_key=True, max_length=40)
    run = models.ForeignKey(
        "Run", on_delete=models.CASCADE, related_name="steps", db_constraint=False
    )
    name = models.CharField(max_length=255)
    status = models.CharField(max_length=12, choices=Status)
    queue = models.CharField(max_length=100, default="default")
    priority = models.IntegerField(default=0)
    #: Attempts begun; those of them that raised; those that killed their process.
    attempt = models.IntegerField(default=0)
    errors = models.IntegerField(default=0)
    crashes = models.IntegerField(default=0)
    #: In flight when its process died: runs again apart from all others.
    suspect = models.BooleanField(default=False)
    #: The worker that runs the attempt.
    worker = models.CharField(max_length=40, default="", blank=True)
    #: When it may be taken by a worker; NULL while it may not.
    due_at = models.DateTimeField(null=True)
    #: What the limits of steps are counted by; empty without limits.
    limit_key = models.CharField(max_length=64, default="", db_default="", blank=True)
    #: The details of the last heartbeat, sealed: the next attempt is given them.
    heartbeat = models.BinaryField(null=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    #: The call's arguments, sealed, and its options as JSON, for whoever takes it.
    args = models.BinaryField(null=True)
    options = models.TextField(default="", blank=True)

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(
                fields=["queue", "due_at"],
                name="dw_step_due",
                condition=models.Q(due_at__isnull=False, limit_key=""),
            ),
            models.Index(
                fields=["worker"],
                name="dw_step_worker",
                condition=models.Q(status="running"),
            ),
            models.Index(
                fields=["limit_key"],
                name="dw_step_limited",
                condition=~models.Q(limit_key="") & models.Q(status="running"),
            ),
            # The line of those who wait for a limit, and when they are due.
            models.Index(
                fields=["limit_key", "-priority", "created_at", "run"],
                name="dw_step_limit_line",
                condition=~models.Q(limit_key="") & models.Q(status="pending"),
            ),
            models.Index(
                fields=["queue", "due_at"],
                name="dw_step_limit_due",
                condition=~models.Q(limit_key="") & models.Q(due_at__isnull=False),
            ),
            models.Index(
                fields=["queue", "due_at"],
                name="dw_step_suspect",
                condition=models.Q(suspect=True, status="pending"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"
