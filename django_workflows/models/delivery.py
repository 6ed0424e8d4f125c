"""Deliveries to webhooks that have to be known again, or are waited for."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class WebhookDelivery(models.Model):
    """A request to a webhook that carries an id of its own, or wants an answer.

    What it brought is in the run's log. A sender that does not know whether its request
    arrived sends it again: `identity` tells the second one from a new one. While
    somebody waits for a step to answer, `expires_at` is when they stop.
    """

    id = models.CharField(primary_key=True, max_length=40)
    run = models.ForeignKey(
        "Run", on_delete=models.CASCADE, related_name="deliveries", db_constraint=False
    )
    #: sha256 of the hook's token and the sender's id of the delivery; NULL without one.
    identity = models.CharField(max_length=64, null=True, blank=True, unique=True)
    #: The answer that a step gave, encoded and sealed.
    sealed_response = models.BinaryField(null=True)
    #: Until when an answer is waited for; NULL if nobody waits (any more).
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return self.id
