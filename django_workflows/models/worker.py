"""Worker processes and their signs of life."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Worker(models.Model):
    """A process that runs workflows and steps. All leases are on this row."""

    id = models.CharField(primary_key=True, max_length=40)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    #: When the process was started, by its own machine: tells a reused pid.
    process_started = models.CharField(max_length=40, default="", blank=True)
    #: Names, with commas between them.
    queues = models.TextField(default="", blank=True)
    #: A digest of the code it runs: blocked runs are tried again by other code.
    code = models.CharField(max_length=64, default="", blank=True)
    started_at = models.DateTimeField()
    #: Grows with each heartbeat; who watches it stand still for a lease may act.
    beat = models.BigIntegerField(default=0)
    heartbeat_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)
    runs = models.IntegerField(default=0)
    steps = models.IntegerField(default=0)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["started_at", "id"]
        indexes = [
            models.Index(
                fields=["started_at"],
                name="dw_worker_alive",
                condition=models.Q(stopped_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"

    @property
    def queue_names(self) -> list[str]:
        """The queues that it serves."""
        return [name for name in self.queues.split(",") if name]
