"""Answers of steps to senders of webhooks, who wait in other processes.

The delivery's row decides: one conditional update says which answer is the first, and
another whether the answer or the end of the wait came first.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.conf import conf
from django_workflows.core import context, serialization, webhooks
from django_workflows.core.payloads import seal, unseal
from django_workflows.core.webhooks import WebhookRequest, WebhookResponse
from django_workflows.errors import WorkflowError
from django_workflows.store.database import among, connection, now_sql
from django_workflows.store.notify import ANSWERED, notify
from django_workflows.store.watching import Watch, watching

logger = logging.getLogger("django_workflows.store")

_TABLE = "django_workflows_webhookdelivery"

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

    @classmethod
    def unsealed(cls, sealed: bytes) -> _Answer:
        return cls(*serialization.loads(unseal(sealed)))


def _read(database: BaseDatabaseWrapper, delivery_id: str) -> _Answer | None:
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT sealed_response FROM {_TABLE} WHERE id = %s", (delivery_id,)
        )
        row = cursor.fetchone()
    if row is None or row[0] is None:
        return None
    return _Answer.unsealed(bytes(row[0]))


# -- waiting --------------------------------------------------------------------------

#: Called with what tells whether there is an answer, and the seconds that the sender
#: waits: what else happens meanwhile.
_Meanwhile = Callable[[Callable[[], bool], float], None]
_meanwhile: tuple[int, _Meanwhile] | None = None


def answer_by(meanwhile: _Meanwhile | None) -> None:
    """Call `meanwhile` instead of waiting on this thread; None: wait as ever.

    For the testing kit, whose worker runs on the thread of the test: what waits there
    keeps it from answering.
    """
    global _meanwhile
    _meanwhile = None if meanwhile is None else (threading.get_ident(), meanwhile)


def _meanwhile_here() -> _Meanwhile | None:
    if _meanwhile is None or _meanwhile[0] != threading.get_ident():
        return None
    return _meanwhile[1]


def refuse_in_transaction(database: BaseDatabaseWrapper) -> None:
    """Raise RuntimeError where a wait could never end."""
    if database.in_atomic_block and _meanwhile_here() is None:
        raise RuntimeError(
            "a webhook with respond_with='manual' inside transaction.atomic(): no step "
            "would see the request before the block is left. Call resume_webhook() "
            "outside of it (see @transaction.non_atomic_requests); in tests use "
            "django_workflows.testing."
        )


class Wait:
    """A sender's wait for the answer of a step, however many processes away.

    Made on the thread that uses the database for it.
    """

    def __init__(self, delivery_id: str) -> None:
        self._delivery_id = delivery_id
        self._meanwhile = _meanwhile_here()
        self._seconds: float = conf.WEBHOOK_RESPONSE_TIMEOUT

    def wait(self) -> WebhookResponse | None:
        """The answer, or None once the time is over."""
        if self._meanwhile is None:
            expected = _desk.expect(self._delivery_id)
            try:
                return expected.result(self._seconds)
            except TimeoutError:
                pass
            finally:
                _desk.forget(self._delivery_id)
        return self._last_look()

    async def async_wait(
        self,
        in_database: Callable[
            [Callable[[], WebhookResponse | None]], Awaitable[WebhookResponse | None]
        ],
    ) -> WebhookResponse | None:
        """The same on an event loop; `in_database` calls what uses the database."""
        if self._meanwhile is None:
            expected = _desk.expect(self._delivery_id)
            try:
                async with asyncio.timeout(self._seconds):
                    return await asyncio.wrap_future(expected)
            except TimeoutError:
                pass
            finally:
                _desk.forget(self._delivery_id)
        return await in_database(self._last_look)

    def _last_look(self) -> WebhookResponse | None:
        """Take no answer from now on, unless there is one."""
        if self._meanwhile is not None:
            self._meanwhile(lambda: self._find() is not None, self._seconds)
        database = connection()
        with database.cursor() as cursor:
            cursor.execute(
                f"UPDATE {_TABLE} SET expires_at = NULL "
                "WHERE id = %s AND sealed_response IS NULL",
                (self._delivery_id,),
            )
        return self._find()

    def _find(self) -> WebhookResponse | None:
        found = _read(connection(), self._delivery_id)
        return None if found is None else found.response


class _Desk:
    """Looks for the answers to all who wait in this process.

    One thread and one statement for all of them: where commits are all that can be
    heard, each would look at each commit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: dict[str, Future[WebhookResponse]] = {}
        self._watch: Watch | None = None
        self._thread: threading.Thread | None = None

    def expect(self, delivery_id: str) -> Future[WebhookResponse]:
        """What will be the answer, until it is forgotten."""
        expected: Future[WebhookResponse] = Future()
        with self._lock:
            self._expected[delivery_id] = expected
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="workflows-answers", daemon=True
                )
                self._thread.start()
            elif self._watch is not None:
                self._watch.tell()  # the answer may be there already
        return expected

    def forget(self, delivery_id: str) -> None:
        with self._lock:
            del self._expected[delivery_id]
            if not self._expected and self._watch is not None:
                self._watch.tell()  # there is nothing to wait for any more

    def _serve(self) -> None:
        try:
            with watching((ANSWERED, None)) as self._watch:
                while waiting := self._waiting():
                    self._look(waiting)
                    self._watch.wait()
        finally:
            connection().close()

    def _waiting(self) -> list[str]:
        """Who waits; if nobody does, the thread has to end."""
        with self._lock:
            if not self._expected:
                self._watch = self._thread = None
            return list(self._expected)

    def _look(self, waiting: list[str]) -> None:
        database = connection()
        are_these, values = among(database, waiting)
        try:
            with database.cursor() as cursor:
                cursor.execute(
                    f"SELECT id, sealed_response FROM {_TABLE} "
                    f"WHERE id {are_these} AND sealed_response IS NOT NULL",
                    values,
                )
                rows = cursor.fetchall()
        except Exception:
            # Without this thread nobody would get an answer any more.
            logger.warning(
                "cannot look for answers to webhooks; looking again",
                exc_info=True,
                extra={"action": "answers_unknown"},
            )
            database.close()
            return
        for delivery_id, sealed in rows:
            self._tell(delivery_id, bytes(sealed))

    def _tell(self, delivery_id: str, sealed: bytes) -> None:
        with self._lock:
            expected = self._expected.get(delivery_id)
        if expected is None or expected.done():
            return
        with suppress(InvalidStateError):  # whose sender has just gone away
            try:
                expected.set_result(_Answer.unsealed(sealed).response)
            except WorkflowError as error:
                expected.set_exception(error)


_desk = _Desk()


def install() -> None:
    """Let requests reach the store with the answers of steps."""
    webhooks.install(answer)
