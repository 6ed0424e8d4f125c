"""Limits: whose turn it is, counted across the whole deployment."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Limit(models.Model):
    """The lock under which a limit is counted, and the pace of a rate limit.

    What holds a limit is not kept here: it is counted among the steps or runs that are
    at work, so that nothing is left over by a process that dies.
    """

    key = models.CharField(primary_key=True, max_length=64)
    #: What the rate limit has to know of the starts so far, as JSON.
    pace = models.TextField(default="", db_default="", blank=True)

    class Meta:
        verbose_name = _("limit")
        verbose_name_plural = _("limits")
        ordering = ["key"]

    def __str__(self) -> str:
        return self.key
