"""Sends payloads into runs: ``resume_hook()``."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.core import serialization
from django_workflows.core.authorship import author
from django_workflows.core.payloads import seal
from django_workflows.core.texts import require_text
from django_workflows.errors import HookNotFoundError, WorkflowError
from django_workflows.models import Hook, Run
from django_workflows.replay.defined_hooks import (
    IDENTITY,
    DefinedHook,
    find_defined_hook,
)
from django_workflows.replay.events import HOOK_CARRIED, HOOK_RECEIVED, LogEvent
from django_workflows.store.database import (
    alias,
    connection,
    despite_deadlocks,
    is_postgresql,
    marks,
    now_sql,
)
from django_workflows.store.inbox import as_text, insert_inbox
from django_workflows.store.notify import DUE, notify


def token_hash(token: str) -> str:
    """What a token's uniqueness is held on. Raises TypeError for what is no text."""
    text = require_text("the token of a hook", token)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def facts_of(detail: Mapping[str, Any]) -> tuple[str, str]:
    """What the row says of a webhook, and of its payloads' schema, by the event that
    claims the token."""
    webhook, schema = detail.get("webhook"), detail.get("schema")
    return (
        "" if webhook is None else json.dumps(webhook),
        "" if schema is None else json.dumps(schema),
    )


def claim_detail(token: str, webhook: str, schema: str) -> dict[str, Any]:
    """The reverse of `facts_of`: what an event says of a hook that has this row."""
    detail: dict[str, Any] = {"token": token}
    if webhook:
        detail["webhook"] = json.loads(webhook)
    if schema:
        detail["schema"] = json.loads(schema)
    return detail


def resume_hook(token: str, payload: Any = None) -> Run:
    """Send a payload to the run that holds the token, and return that run.

    In the caller's transaction it is sent, or not, with that. Raises HookNotFoundError
    if no run holds the token, SerializationError for the payload and TypeError for a
    token that is no text.
    """
    return _deliver("token_hash", token_hash(token), payload)


def resume_this_hook(hook: Hook, payload: Any) -> Run:
    """The same for a hook that was looked at before: should its token be another
    hook's by now, that one gets nothing."""
    return _deliver("id", hook.pk, payload)


class NotValidatedHereError(WorkflowError):
    """A payload for this hook cannot be checked in this process, and what has not been
    checked is never delivered. Says why, for whoever wanted to send it."""


def validated(hook: Hook, payload: Any) -> Any:
    """A plain JSON payload as the run expects it: of the type of the hook's schema.

    Raises pydantic.ValidationError, and NotValidatedHereError.
    """
    defined = find_validator(hook)
    return payload if defined is None else defined.validate_json(json.dumps(payload))


def find_validator(hook: Hook) -> DefinedHook[Any] | None:
    """What checks the payloads of a hook; None if anything goes.

    Raises NotValidatedHereError.
    """
    if hook.webhook:
        raise NotValidatedHereError("this is a webhook: send a request to its own URL")
    if not hook.schema:
        return None
    schema = hook.expects or {}
    if IDENTITY not in schema:
        raise NotValidatedHereError("what this hook expects cannot be read")
    defined = find_defined_hook(schema)
    if defined is None:
        raise NotValidatedHereError(
            f"this process does not know {schema[IDENTITY]}, which validates the "
            "payloads of this hook: let the web process import the module with its "
            "define_hook(), a workflows.py for example"
        )
    return defined


def _deliver(column: str, key: str, payload: Any) -> Run:
    database = connection()
    data = seal(serialization.dumps(payload, root="payload"))
    if is_postgresql(database):
        run = _resume_postgresql(database, column, key, data)
    else:
        run = despite_deadlocks(database, lambda: _resume(database, column, key, data))
    if run is None:
        raise HookNotFoundError("no run is waiting for this hook token")
    return run


async def aresume_hook(token: str, payload: Any = None) -> Run:
    return await sync_to_async(resume_hook)(token, payload)


def get_hook_by_token(token: str) -> Hook:
    """The active hook with this token: its run, metadata, created_at.

    Raises HookNotFoundError, and TypeError for a token that is no text.
    """
    hook = (
        Hook.objects.using(alias())
        .select_related("run")
        .filter(token_hash=token_hash(token))
        .first()
    )
    if hook is None:
        raise HookNotFoundError("no run is waiting for this hook token")
    return hook


async def aget_hook_by_token(token: str) -> Hook:
    return await sync_to_async(get_hook_by_token)(token)


#: Seconds for which senders let the run of a hook go first, at most.
_PATIENCE = 0.25
# The row is locked until the caller commits: a round that ends the run or disposes of
# the hook skips it and waits, so what was accepted is in the log.
_POSTGRESQL = f"""
WITH h AS (
    SELECT id, run_id FROM django_workflows_hook WHERE {{column}} = %s
    {{unless_yielding}} FOR KEY SHARE
), e AS (
    INSERT INTO django_workflows_event
        (run_id, seq, type, correlation_id, detail, payload, created_at)
    SELECT run_id, NULL, '{HOOK_RECEIVED}', id, %s, %s, {{now}} FROM h
)
SELECT r.*, h.run_id AS held_by, pg_notify('{DUE}', r.queue)
FROM h LEFT JOIN django_workflows_run r ON r.id = h.run_id
"""


def _resume_postgresql(
    database: BaseDatabaseWrapper, column: str, key: str, data: bytes
) -> Run | None:
    patience = time.monotonic() + _PATIENCE
    run = _send_postgresql(database, column, key, data)
    while run is None and _exists(database, column, key):
        is_patient = time.monotonic() < patience
        if is_patient:
            time.sleep(0.005)
        run = _send_postgresql(database, column, key, data, yielding=is_patient)
    return run


def _exists(database: BaseDatabaseWrapper, column: str, key: str) -> bool:
    """Whether the hook is there: then its run waits for a moment without senders."""
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT 1 FROM django_workflows_hook WHERE {column} = %s", (key,)
        )
        return cursor.fetchone() is not None


def _send_postgresql(
    database: BaseDatabaseWrapper,
    column: str,
    key: str,
    data: bytes,
    *,
    yielding: bool = True,
) -> Run | None:
    now = now_sql(database)
    unless = f"AND (yield_until IS NULL OR yield_until < {now})" if yielding else ""
    statement = _POSTGRESQL.format(now=now, column=column, unless_yielding=unless)
    found = Run.objects.using(database.alias).raw(
        statement, (key, as_text(author()), data)
    )
    run = next(iter(found), None)
    if run is None or run.pk == run.__dict__["held_by"]:
        return run
    # The hook changed hands while this waited for its row: the statement sees whose it
    # is now, and not yet that run.
    run = Run.objects.using(database.alias).get(pk=run.__dict__["held_by"])
    notify(database, DUE, [run.queue])
    return run


def _resume(
    database: BaseDatabaseWrapper, column: str, key: str, data: bytes
) -> Run | None:
    lock = " LOCK IN SHARE MODE" if database.vendor == "mysql" else ""
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        cursor.execute(
            f"SELECT id, run_id FROM django_workflows_hook WHERE {column} = %s{lock}",
            (key,),
        )
        found = cursor.fetchone()
        if found is None:
            return None
        hook_id, run_id = found
        run = Run.objects.using(database.alias).get(pk=run_id)
        detail = as_text(author())
        insert_inbox(
            database, run_id, HOOK_RECEIVED, hook_id, detail=detail, payload=data
        )
        notify(database, DUE, [run.queue])
    return run


def to_lock(
    database: BaseDatabaseWrapper, where: str, values: list[str]
) -> tuple[str, list[str]]:
    """What to select FROM to lock hooks, and its parameters.

    MySQL locks the entry of an index by which a row is found, then the row. Whoever
    sends finds it by its token: found otherwise, its deletion, which locks all entries,
    would come to the token's last, and make a deadlock of the two.
    """
    table = "django_workflows_hook"
    if database.vendor != "mysql":
        return f"{table} WHERE {where}", values
    with database.cursor() as cursor:
        cursor.execute(f"SELECT token_hash FROM {table} WHERE {where}", values)
        hashes = [row[0] for row in cursor.fetchall()]
    among = f"IN ({marks(hashes)})" if hashes else "IS NULL"
    # The index that makes the column unique has its name.
    return f"{table} FORCE INDEX (token_hash) WHERE token_hash {among}", hashes


def claim_token(
    database: BaseDatabaseWrapper, run_id: str, hook: LogEvent
) -> str | None:
    """Claim a token for a hook that is in a stored log, in the current transaction.

    Returns None, or the id of the run that holds the token.
    """
    token = hook.detail["token"]
    begin, end = {"mysql": ("INSERT IGNORE INTO", "")}.get(
        database.vendor, ("INSERT INTO", " ON CONFLICT DO NOTHING")
    )
    with database.cursor() as cursor:
        cursor.execute(
            f"{begin} django_workflows_hook (id, run_id, token, token_hash, webhook, "
            "payload_schema, sealed_metadata, is_carried, created_at) "
            "SELECT %s, %s, %s, %s, %s, %s, payload, %s, created_at "
            f"FROM django_workflows_event WHERE id = %s{end}",
            (
                hook.correlation_id,
                run_id,
                token,
                token_hash(token),
                *facts_of(hook.detail),
                hook.type == HOOK_CARRIED,
                hook.row_id,
            ),
        )
        if cursor.rowcount == 1:
            return None
        cursor.execute(
            "SELECT run_id FROM django_workflows_hook WHERE token_hash = %s",
            (token_hash(token),),
        )
        row = cursor.fetchone()
    return row[0] if row else ""
