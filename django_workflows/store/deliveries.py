"""Delivers requests to webhooks, and knows which ones came before.

A request that carries an id of its own, or waits for an answer, gets a row beside the
run's inbox. Its unique identity tells a repeated delivery from a new one; what becomes
of the wait is in `answers.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.conf import conf
from django_workflows.core.ids import new_id
from django_workflows.core.webhooks import WebhookRequest
from django_workflows.models import Hook, WebhookDelivery
from django_workflows.store.answers import refuse_in_transaction
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    despite_deadlocks,
    moment,
    now_sql,
)
from django_workflows.store.hooks import resume_this_hook, token_hash

_TABLE = "django_workflows_webhookdelivery"


@dataclass(frozen=True, slots=True)
class Delivered:
    """What has become of a request: stored now, or by an earlier delivery of it."""

    is_repeated: bool = False
    #: Set if its sender waits for the answer of a step.
    delivery_id: str = ""


def deliver(
    hook: Hook, request: WebhookRequest, senders_id: str | None, *, waits: bool
) -> Delivered:
    """Store a request for the run of a webhook, once, in one transaction.

    `senders_id` is what the sender calls the delivery, if it says, `waits` whether it
    waits for the answer of a step. Raises HookNotFoundError if the hook has been given
    up meanwhile, and RuntimeError for a wait that could never end.
    """
    database = connection()
    if senders_id is None and not waits:
        resume_this_hook(hook, request)
        return Delivered()
    if waits:
        refuse_in_transaction(database)
    return despite_deadlocks(
        database, lambda: _deliver(database, hook, request, senders_id, waits)
    )


def _deliver(
    database: BaseDatabaseWrapper,
    hook: Hook,
    request: WebhookRequest,
    senders_id: str | None,
    waits: bool,
) -> Delivered:
    delivery_id = new_id("dlvr")
    expires_us = None
    if waits:
        timeout_us = round(conf.WEBHOOK_RESPONSE_TIMEOUT * 1_000_000)
        expires_us = database_time(database) + timeout_us
        request = request.awaiting(delivery_id)
    begin, end = "INSERT INTO", " ON CONFLICT DO NOTHING"
    if database.vendor == "mysql":
        begin, end = "INSERT IGNORE INTO", ""
    with transaction.atomic(using=alias()), database.cursor() as cursor:
        # Whoever delivers the same at this moment waits here for the outcome.
        cursor.execute(
            f"{begin} {_TABLE} (id, run_id, identity, expires_at, created_at) "
            f"VALUES (%s, %s, %s, %s, {now_sql(database)}){end}",
            (
                delivery_id,
                hook.run_id,
                None if senders_id is None else _identity(hook.token, senders_id),
                moment(database, expires_us),
            ),
        )
        if cursor.rowcount == 0:
            return Delivered(is_repeated=True)
        resume_this_hook(hook, request)
    return Delivered(delivery_id=delivery_id if waits else "")


def is_known(token: str, senders_ids: Sequence[str]) -> bool:
    """Whether a delivery with one of these ids has been stored for a webhook that had
    this token, whatever has become of it since."""
    identities = [_identity(token, senders_id) for senders_id in senders_ids]
    known = WebhookDelivery.objects.using(alias()).filter(identity__in=identities)
    return known.exists()


def _identity(token: str, senders_id: str) -> str:
    """By which a repeated delivery is known: two senders may use the same ids."""
    text = f"{token_hash(token)} {senders_id}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()
