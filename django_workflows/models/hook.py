"""Active hooks: the tokens under which runs can be reached."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_workflows.core import serialization
from django_workflows.core.details import show_object
from django_workflows.core.payloads import unseal
from django_workflows.core.webhooks import metadata_of


class Hook(models.Model):
    """A token held by a run. The row goes when the hook is disposed of."""

    id = models.CharField(primary_key=True, max_length=40)
    run = models.ForeignKey(
        "Run", on_delete=models.CASCADE, related_name="hooks", db_constraint=False
    )
    token = models.TextField()
    #: sha256 of the token: whatever a collation holds to be equal, this is exact.
    token_hash = models.CharField(max_length=64, unique=True)
    sealed_metadata = models.BinaryField(null=True)
    #: What the public route has to know of a webhook, as JSON. Empty for a plain hook,
    #: which that route does not know.
    webhook = models.TextField(default="", db_default="", blank=True)
    #: What payloads look like, as JSON schema, with the name of the Python type that
    #: validates them (see `replay.defined_hooks`). Empty if anything goes. SQL has the
    #: short name for itself.
    schema = models.TextField(
        default="", db_default="", blank=True, db_column="payload_schema"
    )
    #: Held for the run by its predecessor, which continued as new.
    is_carried = models.BooleanField(default=False, db_default=False)
    #: The run wants to give the hook up or hand it on: who comes to send waits until
    #: then, so that there is a moment in which nobody is sending.
    yield_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("hook")
        verbose_name_plural = _("hooks")
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["created_at", "id"], name="dw_hook_created")]

    def __str__(self) -> str:
        return self.id

    @property
    def facts(self) -> dict[str, Any] | None:
        """What is known of a webhook, for people; None for a plain hook."""
        return show_object(self.webhook) if self.webhook else None

    @property
    def expects(self) -> dict[str, Any] | None:
        """The JSON schema of its payloads, for people; None if anything goes."""
        return show_object(self.schema) if self.schema else None

    @property
    def metadata(self) -> Any:
        """What the workflow said about the hook when it made it."""
        if self.sealed_metadata is None:
            return None
        return metadata_of(serialization.loads(unseal(bytes(self.sealed_metadata))))
