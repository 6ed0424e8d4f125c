"""What becomes of a request to a webhook, whichever view it came in through."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Container
from functools import cache
from http.cookies import Morsel
from typing import Any

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from django_workflows.core import serialization
from django_workflows.core.payloads import unseal
from django_workflows.core.signatures import (
    HmacSignature,
    InvalidSignatureError,
    claimed_ids,
    has_signature,
)
from django_workflows.core.webhooks import (
    WebhookRequest,
    WebhookResponse,
    WithResponse,
)
from django_workflows.errors import HookNotFoundError, PayloadTooLargeError
from django_workflows.http.incoming import UnacceptableBodyError
from django_workflows.models import Hook
from django_workflows.store.answers import Wait
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    to_datetime,
)
from django_workflows.store.deliveries import deliver, is_known
from django_workflows.store.hooks import token_hash
from django_workflows.webhooks.reading import read_request
from django_workflows.webhooks.threads import in_database

logger = logging.getLogger("django_workflows.webhooks")

#: Looks for the hook of a token that keeps changing hands.
_LOOKS = 3


def resume_webhook(token: str, request: HttpRequest) -> HttpResponse:
    """Send a Django request to the webhook with this token, from a view of your own.

    Returns what the public route would answer: verified, delivered once, answered as
    the workflow wants it. With ``respond_with="manual"`` it waits for the answer, and
    raises RuntimeError inside ``transaction.atomic()``.
    """
    found = _receive(token, request)
    return found if isinstance(found, HttpResponse) else _answered(found.wait())


async def aresume_webhook(token: str, request: HttpRequest) -> HttpResponse:
    """The same in asynchronous views; no thread is held while it waits."""
    found = await in_database(lambda: _receive(token, request))
    if isinstance(found, HttpResponse):
        return found
    return _answered(await found.async_wait(in_database))


def _receive(token: str, request: HttpRequest) -> HttpResponse | Wait:
    """All but the wait for a step's answer."""
    read = cache(lambda: read_request(token, request))
    for _ in range(_LOOKS):
        hook = _find(token)
        if hook is None:
            is_repeated = has_signature(request.headers) and _is_repeated(token, read)
            return empty_response(202 if is_repeated else 404)
        facts = json.loads(hook.webhook)
        methods = facts.get("methods")
        if methods is not None and request.method not in methods:
            return empty_response(405, {"Allow": ", ".join(methods)})
        try:
            return _deliver(hook, facts, read())
        except UnacceptableBodyError as error:
            return empty_response(error.status)
        except DisallowedHost:
            return empty_response(400)
        except PayloadTooLargeError:
            return empty_response(413)
        except InvalidSignatureError as error:
            logger.warning(
                "a request to a webhook of run %s was refused: %s",
                hook.run_id,
                error,
                extra={"action": "webhook_refused", "run_id": hook.run_id},
            )
            return empty_response(401)
        except HookNotFoundError:
            continue  # given up, or claimed by another run, just now
    return empty_response(404)


def _is_repeated(token: str, read: Callable[[], WebhookRequest]) -> bool:
    """Whether a run has received this before it gave the token up.

    Who did not hear that it was received would take a 404 for a failure. What cannot be
    proven any more is not delivered to anybody.
    """
    try:
        message = read()
    except (UnacceptableBodyError, DisallowedHost):
        return False
    return is_known(token, claimed_ids(message.headers, message.body))


def _find(token: str) -> Hook | None:
    hooks = Hook.objects.using(alias()).filter(token_hash=token_hash(token))
    return hooks.exclude(webhook="").first()


def _verify(facts: dict[str, Any], message: WebhookRequest) -> str | None:
    """The sender's id of the delivery, if it has one. Raises InvalidSignatureError."""
    if "verify" not in facts:
        return None
    signature = HmacSignature(**facts["verify"])
    return signature.verify(
        message.headers,
        message.body,
        secrets=signature.secrets(),
        now=to_datetime(database_time(connection())),
    )


def _deliver(
    hook: Hook, facts: dict[str, Any], message: WebhookRequest
) -> HttpResponse | Wait:
    senders_id = _verify(facts, message)
    how = facts.get("respond_with")
    # Looked at first: a response that cannot be read is to stop the delivery.
    response = _static_response(hook) if how == "static" else WebhookResponse(202)
    delivered = deliver(hook, message, senders_id, waits=how == "manual")
    if delivered.is_repeated:
        return empty_response(202)
    if delivered.delivery_id:
        return Wait(delivered.delivery_id)
    return _to_send(response)


def _static_response(hook: Hook) -> WebhookResponse:
    stored = serialization.loads(unseal(bytes(hook.sealed_metadata or b"")))
    assert isinstance(stored, WithResponse)
    return stored.response


def _answered(response: WebhookResponse | None) -> HttpResponse:
    return empty_response(504) if response is None else _to_send(response)


def empty_response(status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    return _to_send(WebhookResponse(status, headers=headers or {}))


def _to_send(response: WebhookResponse) -> HttpResponse:
    made = HttpResponse(response.body, status=response.status)
    del made.headers["Content-Type"]  # Django's own would be HTML
    for name in response.headers:
        if name == "set-cookie":
            for text in response.headers.getlist(name):
                cookie = _Cookie(text)
                made.cookies[cookie.key] = cookie
        else:
            made.headers[name] = response.headers[name]
    # Django logs the path of what is answered with 4xx or 5xx: the token is in it.
    made._has_been_logged = True  # type: ignore[attr-defined]
    return made


class _Cookie(Morsel[str]):
    """A cookie as the workflow has written it: taken apart and put together again, it
    would lose what Python does not know."""

    def __init__(self, text: str) -> None:
        super().__init__()
        name, _, value = text.partition(";")[0].partition("=")
        self.set(name.strip(), value.strip(), value.strip())
        self._text = text

    def OutputString(self, attrs: Container[str] | None = None) -> str:  # noqa: N802
        return self._text
