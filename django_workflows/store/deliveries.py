"""Deliveries to webhooks: what came, whether it came before, and the answers of steps.

A request that carries an id of its own, or waits for an answer, gets a row beside the
run's inbox. The row decides: its unique identity tells a repeated delivery from a new
one, and one conditional update each says who answers first, and whether the answer or
the end of the wait came first.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.conf import conf
from django_workflows.core import context, serialization, webhooks
from django_workflows.core.ids import new_id
from django_workflows.core.payloads import seal, unseal
from django_workflows.core.webhooks import WebhookRequest, WebhookResponse
from django_workflows.models import Hook
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    despite_deadlocks,
    moment,
    now_sql,
)
from django_workflows.store.hooks import resume_this_hook
from django_workflows.store.notify import ANSWERED, notify
from django_workflows.store.watching import LOOK_AGAIN, watching

_TABLE = "django_workflows_webhookdelivery"
_Look = Callable[[], WebhookResponse | None]


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
        _refuse_in_transaction(database)
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
                None if senders_id is None else _identity(hook, senders_id),
                moment(database, expires_us),
            ),
        )
        if cursor.rowcount == 0:
            return Delivered(is_repeated=True)
        resume_this_hook(hook, request)
    return Delivered(delivery_id=delivery_id if waits else "")


def _identity(hook: Hook, senders_id: str) -> str:
    """By which a repeated delivery is known: two senders may use the same ids."""
    text = f"{hook.token_hash} {senders_id}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()


def _refuse_in_transaction(database: BaseDatabaseWrapper) -> None:
    if database.in_atomic_block and _meanwhile is None:
        raise RuntimeError(
            "a webhook with respond_with='manual' inside transaction.atomic(): no step "
            "would see the request before the block is left. Call resume_webhook() "
            "outside of it (see @transaction.non_atomic_requests); in tests use "
            "django_workflows.testing."
        )


# -- answering ------------------------------------------------------------------------


def answer(request: WebhookRequest, response: WebhookResponse) -> None:
    """Answer a request from a step; see ``WebhookRequest.respond_with``."""
    step = context.current_step()
    if step is None:
        raise RuntimeError("respond_with() can only be called inside a step")
    if not request.delivery_id:
        raise RuntimeError(
            "nobody waits for an answer to this request: respond_with() is for "
            "webhooks made with create_webhook(respond_with='manual')"
        )
    database = connection()
    given = _Answer(step.step_id, step.attempt, response)
    with database.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TABLE} SET sealed_response = %s WHERE id = %s "
            f"AND sealed_response IS NULL AND expires_at > {now_sql(database)}",
            (given.sealed(), request.delivery_id),
        )
        is_first = cursor.rowcount == 1
    if is_first:
        notify(database, ANSWERED, [request.delivery_id])
        return
    before = _read(database, request.delivery_id)
    if before is None:
        raise RuntimeError(
            "the answer comes too late: the sender of this request stopped waiting "
            f"after {conf.WEBHOOK_RESPONSE_TIMEOUT:g} s, "
            "WORKFLOWS['WEBHOOK_RESPONSE_TIMEOUT']"
        )
    if before.step_id != step.step_id or before.attempt >= step.attempt:
        raise RuntimeError("this request has been answered before")
    # An earlier attempt of this step gave the answer and failed, or died, afterwards.
    again = _Answer(step.step_id, step.attempt, before.response)
    with database.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TABLE} SET sealed_response = %s WHERE id = %s",
            (again.sealed(), request.delivery_id),
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer and the attempt that gave it."""

    step_id: str
    attempt: int
    response: WebhookResponse

    def sealed(self) -> bytes:
        data = serialization.dumps(
            [self.step_id, self.attempt, self.response], root="response"
        )
        return seal(data)


def _read(database: BaseDatabaseWrapper, delivery_id: str) -> _Answer | None:
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT sealed_response FROM {_TABLE} WHERE id = %s", (delivery_id,)
        )
        row = cursor.fetchone()
    if row is None or row[0] is None:
        return None
    return _Answer(*serialization.loads(unseal(bytes(row[0]))))


# -- waiting --------------------------------------------------------------------------

#: Called instead of waiting, with what tells whether there is an answer, and the
#: seconds that the sender waits; see `answer_by`.
_meanwhile: Callable[[Callable[[], bool], float], None] | None = None


def answer_by(meanwhile: Callable[[Callable[[], bool], float], None] | None) -> None:
    """Let `meanwhile` bring answers about in this process; None: wait for them.

    For the testing kit, whose worker runs on the thread of whoever waits.
    """
    global _meanwhile
    _meanwhile = meanwhile


class Wait:
    """A sender's wait for the answer of a step, however many processes away."""

    def __init__(self, delivery_id: str) -> None:
        self._delivery_id = delivery_id
        self._seconds = conf.WEBHOOK_RESPONSE_TIMEOUT
        self._end = time.monotonic() + self._seconds

    def wait(self) -> WebhookResponse | None:
        """The answer, or None once the time is over."""
        with watching((ANSWERED, self._delivery_id)) as watch:
            while (found := self.look()) is None and (left := self._left()) > 0:
                watch.wait(left)
        return found or self._give_up()

    async def async_wait(
        self, look: Callable[[_Look], Awaitable[WebhookResponse | None]]
    ) -> WebhookResponse | None:
        """The same on an event loop; `look` calls what reads the database."""
        with watching((ANSWERED, self._delivery_id)) as watch:
            while (found := await look(self.look)) is None and (
                left := self._left()
            ) > 0:
                await watch.async_wait(left)
        return found or await look(self._give_up)

    def look(self) -> WebhookResponse | None:
        """The answer, if there is one by now."""
        if _meanwhile is not None:
            _meanwhile(lambda: self._find() is not None, self._seconds)
            self._end = 0
        return self._find()

    def _find(self) -> WebhookResponse | None:
        found = _read(connection(), self._delivery_id)
        return None if found is None else found.response

    def _left(self) -> float:
        """Seconds until it is to look again; 0 if the time is over."""
        return max(0.0, min(self._end - time.monotonic(), LOOK_AGAIN))

    def _give_up(self) -> WebhookResponse | None:
        """Take no answer from now on, unless one has come just now."""
        database = connection()
        with database.cursor() as cursor:
            cursor.execute(
                f"UPDATE {_TABLE} SET expires_at = NULL "
                "WHERE id = %s AND sealed_response IS NULL",
                (self._delivery_id,),
            )
        return self._find()


def install() -> None:
    """Let requests reach the store with the answers of steps."""
    webhooks.install(answer)
