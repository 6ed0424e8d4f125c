"""Streams: what steps write for others to read while they are at work."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_workflows.core import serialization
from django_workflows.core.payloads import unseal


class Stream(models.Model):
    """The chunks that a run has written under one namespace, in order.

    The row is made by the first write; its lock is what keeps indexes without gaps. A
    stream is closed once `closed_at` is set or its run has ended.
    """

    #: Follows from the run and the namespace, so that both alone lead here.
    id = models.CharField(primary_key=True, max_length=40)
    run = models.ForeignKey(
        "Run", on_delete=models.CASCADE, related_name="streams", db_constraint=False
    )
    namespace = models.CharField(max_length=255, default="", blank=True)
    #: How many chunks there are: the index of the next one.
    length = models.BigIntegerField(default=0)
    closed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("stream")
        verbose_name_plural = _("streams")
        ordering = ["run", "namespace"]

    def __str__(self) -> str:
        return self.namespace or self.id

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be written any more, unless the run is retried."""
        return self.closed_at is not None or self.run.is_closed


class StreamChunk(models.Model):
    """One value of a stream, numbered from 0 without gaps."""

    id = models.BigAutoField(primary_key=True)
    stream = models.ForeignKey(
        Stream,
        on_delete=models.CASCADE,
        related_name="chunks",
        db_constraint=False,
        db_index=False,
    )
    index = models.BigIntegerField()
    #: The value, encoded and sealed.
    payload = models.BinaryField()
    #: The attempt of the step that wrote it, and that step.
    attempt = models.IntegerField(default=1)
    step_id = models.CharField(max_length=40, default="", blank=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("stream chunk")
        verbose_name_plural = _("stream chunks")
        ordering = ["stream", "index"]
        constraints = [
            models.UniqueConstraint(
                fields=["stream", "index"], name="dw_chunk_stream_index_unique"
            )
        ]

    def __str__(self) -> str:
        return f"#{self.index}"

    @property
    def data(self) -> Any:
        """The value as it was written."""
        return serialization.loads(unseal(bytes(self.payload)))
