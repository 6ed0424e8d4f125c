"""Definitions of workflows that are kept as data."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class Definition(models.Model):
    """One version of a definition; its content never changes."""

    id = models.BigAutoField(primary_key=True)
    definition_id = models.CharField(max_length=255)
    #: sha256 of the id: exact, whatever the collation.
    id_hash = models.CharField(max_length=64)
    version = models.IntegerField()
    name = models.CharField(max_length=255, default="", blank=True)
    #: The definition, JSON text in the names of JSON.
    content = models.TextField()
    #: sha256 of the content, by which identical content is known.
    content_hash = models.CharField(max_length=64)
    #: It was written down by a class when that was first started.
    is_code = models.BooleanField(default=False)
    #: Of data: the hash of what the class of this id said when they were registered.
    replaces = models.CharField(max_length=64, default="", blank=True)
    #: Since when it is hidden: nothing can be started from it any more.
    deleted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    #: Its triggers have rows of their own; not if code stored it that knew none.
    has_trigger_rows = models.BooleanField(
        default=False, db_default=False, db_index=True, editable=False
    )

    class Meta:
        verbose_name = _("definition")
        verbose_name_plural = _("definitions")
        ordering = ["definition_id", "version"]
        constraints = [
            models.UniqueConstraint(
                fields=["id_hash", "version"], name="dw_definition_version_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.definition_id} v{self.version}"

    @property
    def data(self) -> dict[str, Any]:
        """The content as JSON data."""
        data: dict[str, Any] = json.loads(self.content)
        return data


class DefinitionTrigger(models.Model):
    """An event that may start a version of a definition: who looks for an event reads
    no others."""

    id = models.BigAutoField(primary_key=True)
    definition = models.ForeignKey(
        Definition, on_delete=models.CASCADE, related_name="trigger_rows"
    )
    #: sha256 of the event's name: exact, whatever the collation.
    event_hash = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("trigger of a definition")
        verbose_name_plural = _("triggers of definitions")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["event_hash", "definition"], name="dw_trigger_event_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.definition_id}: {self.event_hash}"
