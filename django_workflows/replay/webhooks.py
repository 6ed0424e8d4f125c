"""Webhooks: hooks with a URL, whose payloads are HTTP requests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from django_workflows.core.signatures import HmacSignature
from django_workflows.core.webhooks import (
    TOKEN,
    WebhookResponse,
    WithResponse,
    webhook_url,
)
from django_workflows.replay.api import current_execution
from django_workflows.replay.hooks import Hook, claim


class Webhook(Hook):
    """A hook with a ``url``: each await gives the next `WebhookRequest` sent there."""

    @property
    def url(self) -> str:
        """Where to send requests, under the site's address at the run's start."""
        return webhook_url(self.execution.info.base_url, self.token)


def create_webhook(
    token: str | None = None,
    respond_with: WebhookResponse | Literal["manual"] | None = None,
    methods: Iterable[str] | None = None,
    verify: HmacSignature | None = None,
    metadata: Any = None,
) -> Webhook:
    """Open a URL for requests from outside; see ``create_hook`` for all else.

    `respond_with` is the answer that is sent at once, or ``"manual"``: then each sender
    waits until a step calls ``request.respond_with()``. Without it the answer is 202.
    `methods` are the HTTP methods taken, all of them without it. `verify`, made by
    ``hmac_signature()``, refuses what is not signed. Without `verify` whoever knows
    the token can send: do not choose one that can be guessed.

    Raises ValueError for what is none of these.
    """
    execution = current_execution("create_webhook()")
    facts: dict[str, Any] = {}
    if isinstance(respond_with, WebhookResponse):
        facts["respond_with"] = "static"
        metadata = WithResponse(respond_with, metadata)
    elif respond_with == "manual":
        facts["respond_with"] = "manual"
    elif respond_with is not None:
        raise ValueError(
            "respond_with is a WebhookResponse, 'manual', or None for an empty 202, "
            f"not {respond_with!r:.100}"
        )
    if methods is not None:
        facts["methods"] = _checked(methods)
    if isinstance(verify, HmacSignature):
        facts["verify"] = {
            "secret": verify.secret,
            "header": verify.header,
            "scheme": verify.scheme,
        }
    elif verify is not None:
        raise ValueError(
            "verify is what hmac_signature() returns, or None, not an object of type "
            + type(verify).__name__  # whose repr may be a secret
        )
    return claim(Webhook, execution, token, metadata, {"webhook": facts})


def _checked(methods: Iterable[str]) -> list[str]:
    """The names of HTTP methods, in capitals and in order. Raises ValueError."""
    if isinstance(methods, str) or not isinstance(methods, Iterable):
        raise ValueError(
            f"methods is a list of names, such as ['POST'], not {methods!r:.100}"
        )
    given = list(methods)
    if not given or any(not TOKEN.fullmatch(str(name)) for name in given):
        raise ValueError(
            "methods must hold names of HTTP methods, such as 'POST', not "
            f"{given!r:.100}"
        )
    return sorted({str(name).upper() for name in given})
