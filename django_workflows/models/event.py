"""The log of a run, and its inbox."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_workflows.core import failures, serialization
from django_workflows.core.details import show_details
from django_workflows.core.payloads import unseal
from django_workflows.core.webhooks import metadata_of
from django_workflows.replay import events as log

#: Under which name a payload of an event of this type appears in `Event.data`.
PAYLOAD_NAMES = {
    log.RUN_CREATED: "input",
    log.RUN_COMPLETED: "output",
    log.STEP_CREATED: "input",
    log.STEP_COMPLETED: "output",
    log.HOOK_CREATED: "metadata",
    log.HOOK_CONFLICT: "metadata",
    log.HOOK_CARRIED: "metadata",
    log.HOOK_RECEIVED: "payload",
    log.CHILD_CREATED: "input",
    log.CHILD_COMPLETED: "output",
    log.ATTRIBUTES_SET: "attributes",
}


class Event(models.Model):
    """An entry of a run's log; while it has no ``seq``, of the run's inbox.

    Only the run's owner numbers events. Everyone else inserts rows without a number,
    which the owner takes in by the order of their keys.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        "Run",
        on_delete=models.CASCADE,
        related_name="events",
        db_constraint=False,
        db_index=False,
    )
    seq = models.IntegerField(null=True)
    type = models.CharField(max_length=24)
    correlation_id = models.CharField(max_length=40, default="", blank=True)
    #: The engine's own part, JSON text.
    detail = models.TextField(default="", blank=True)
    #: The user's value, encoded and sealed; NULL if there is none.
    payload = models.BinaryField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["run", "seq"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "seq"], name="dw_event_run_seq_unique"
            )
        ]
        indexes = [
            models.Index(
                fields=["run"],
                name="dw_event_inbox",
                condition=models.Q(seq__isnull=True),
            )
        ]

    def __str__(self) -> str:
        number = _("unread") if self.seq is None else f"#{self.seq}"
        return f"{number} {self.type}"

    @property
    def details(self) -> dict[str, Any]:
        """The engine's own part of what the event says, as plain JSON values; text
        that the engine has not written stands under `unreadable`."""
        return show_details(self.detail)

    @property
    def data(self) -> dict[str, Any]:
        """What the event says, values decoded: its details and, if it has one, the
        value that goes with it (`input`, `output`, `error`, `payload`, `metadata`)."""
        data = self.details
        if self.payload is None:
            return data
        payload = unseal(bytes(self.payload))
        name = PAYLOAD_NAMES.get(self.type)
        if name is None:
            data["error"] = failures.rebuild(payload)
        elif name == "input":
            args, kwargs = serialization.loads_call(payload)
            data["args"], data["kwargs"] = args, kwargs
        elif name == "metadata":
            data[name] = metadata_of(serialization.loads(payload))
        else:
            data[name] = serialization.loads(payload)
        return data
