"""Signatures of webhooks: who sent a request, proven by a secret that both sides know.

What a signature covers, and which id of a delivery there is, is each provider's own:
a scheme for each. All of them are HMACs with SHA-256. Nothing here raises anything but
`InvalidSignatureError` for what a stranger has sent.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from django.conf import settings

from django_workflows.core.headers import Headers

TOLERANCE = 300
"""Seconds by which a sender's clock may differ, and a request may be old."""


class InvalidSignatureError(Exception):
    """A request is forged, stale or not signed. Says why, without any secret."""


@dataclass(frozen=True, slots=True)
class HmacSignature:
    """What `hmac_signature` returns: how the requests to one webhook are signed.

    It names the setting that holds the secrets, never the secrets themselves, so it can
    be kept in a log.
    """

    secret: str
    header: str
    scheme: str

    def secrets(self) -> list[str]:
        """The secrets that the setting holds now; none if it is missing or empty."""
        held = getattr(settings, self.secret, None)
        if isinstance(held, str):
            held = [held]
        if not isinstance(held, list | tuple):
            return []
        return [secret for secret in held if isinstance(secret, str) and secret]

    def usable_secrets(self) -> list[str]:
        """Those of `secrets` that the scheme can make a key of."""
        scheme = SCHEMES[self.scheme]
        return [secret for secret in self.secrets() if any(scheme.keys(secret))]

    def verify(
        self, headers: Headers, body: bytes, *, secrets: Iterable[str], now: datetime
    ) -> str | None:
        """Prove that one of ``secrets`` signed this request, lately.

        Returns the sender's id of the delivery, None if there is none. ``body`` must be
        the bytes that came. Raises ``InvalidSignatureError``.
        """
        scheme = SCHEMES[self.scheme]
        claim = scheme.claim(headers, body, self.header)
        if claim.sent_at is not None:
            _check_age(claim.sent_at, now)
        keys = [key for secret in secrets for key in scheme.keys(secret) if key]
        if not keys:
            raise InvalidSignatureError(
                f"the setting {self.secret} holds no usable secret, so every request "
                "is refused"
            )
        given = [_bytes(text) for text in claim.signatures]
        for key in keys:
            digest = hmac.digest(key, claim.content, "sha256")
            expected = scheme.written(digest).encode()
            if any(hmac.compare_digest(expected, one) for one in given):
                return claim.delivery_id or scheme.id_in(body)
        raise InvalidSignatureError(
            f"no signature in the header {self.header} is right"
        )


def hmac_signature(
    secret: str, header: str | None = None, scheme: str = "github"
) -> HmacSignature:
    """How the requests to a webhook are signed, for ``create_webhook(verify=...)``.

    ``secret`` is the name of the Django setting that holds the secret, or a list of
    them while one replaces another. ``scheme`` is ``"github"``, ``"stripe"``,
    ``"slack"`` or ``"standard-webhooks"``, ``header`` the one that carries the
    signature, if it is not the scheme's own. Raises ``ValueError``.
    """
    if scheme not in SCHEMES:
        raise ValueError(
            f"unknown signature scheme {scheme!r}; there are {', '.join(SCHEMES)}"
        )
    name = str(secret)
    if not (name.isidentifier() and name.isupper()):
        # What was given is not shown: it may well be the secret.
        raise ValueError(
            "hmac_signature(secret=...) takes the name of a Django setting, such as "
            '"GITHUB_WEBHOOK_SECRET", and not the secret itself, which would be stored '
            "with the run"
        )
    if header is not None and not str(header).strip():
        raise ValueError(f"hmac_signature(header=...) is no name: {header!r}")
    return HmacSignature(name, header or SCHEMES[scheme].header, scheme)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says of itself, before any of it is believed."""

    content: bytes
    signatures: Iterable[str]
    sent_at: str | None = None
    delivery_id: str | None = None


class _Scheme:
    """How one provider signs."""

    header: ClassVar[str]

    def claim(self, headers: Headers, body: bytes, header: str) -> _Claim:
        raise NotImplementedError

    def keys(self, secret: str) -> Iterator[bytes]:
        """The key that a secret is, or the keys that it may be."""
        yield _bytes(secret)

    def written(self, digest: bytes) -> str:
        """A signature as it is written in the header."""
        return digest.hex()

    def id_in(self, body: bytes) -> str | None:
        """The delivery's id in a body that has been proven."""
        return None


class _GitHub(_Scheme):
    """No time, and an id that the signature does not cover.

    Whoever has seen a request can send it again under another id; but to pass for one
    yet to come, they would have to know its id, and to be there before it.
    """

    header = "X-Hub-Signature-256"

    def claim(self, headers: Headers, body: bytes, header: str) -> _Claim:
        signatures = _listed(headers, header)
        return _Claim(body, signatures, None, headers.get("X-GitHub-Delivery"))

    def written(self, digest: bytes) -> str:
        return f"sha256={digest.hex()}"


class _Stripe(_Scheme):
    """Time and signatures in one header; the id of the event is in the body."""

    header = "Stripe-Signature"

    def claim(self, headers: Headers, body: bytes, header: str) -> _Claim:
        parts = [part.partition("=") for part in _listed(headers, header)]
        times = [value for name, _, value in parts if name == "t"]
        if len(times) != 1:
            raise InvalidSignatureError(f"the header {header} does not tell one time")
        content = _bytes(times[0]) + b"." + body
        # A signature of another version proves nothing: v0 is for Stripe's test mode.
        return _Claim(content, [v for name, _, v in parts if name == "v1"], times[0])

    def id_in(self, body: bytes) -> str | None:
        return _field(body, "id")


class _Slack(_Scheme):
    """Events have an id in their body; commands and interactions have none."""

    header = "X-Slack-Signature"

    def claim(self, headers: Headers, body: bytes, header: str) -> _Claim:
        sent_at = _required(headers, "X-Slack-Request-Timestamp")
        content = b"v0:" + _bytes(sent_at) + b":" + body
        return _Claim(content, _listed(headers, header), sent_at)

    def written(self, digest: bytes) -> str:
        return f"v0={digest.hex()}"

    def id_in(self, body: bytes) -> str | None:
        return _field(body, "event_id")


class _StandardWebhooks(_Scheme):
    """Id, time and signatures in three headers that begin alike."""

    header = "webhook-signature"

    def claim(self, headers: Headers, body: bytes, header: str) -> _Claim:
        alike = header.lower().endswith("-signature")
        prefix = header[: -len("signature")] if alike else "webhook-"
        delivery_id = _required(headers, f"{prefix}id")
        sent_at = _required(headers, f"{prefix}timestamp")
        if re.search(r"\.\d+$", delivery_id):
            # Signed is id.time.body. With an end like this, id and time of a request
            # could pass for the id of another, and its body for the rest.
            raise InvalidSignatureError(f"the header {prefix}id ends like a time")
        content = _bytes(f"{delivery_id}.{sent_at}.") + body
        signatures = [one.strip(",") for one in _required(headers, header).split()]
        return _Claim(content, signatures, sent_at, delivery_id)

    def keys(self, secret: str) -> Iterator[bytes]:
        text = secret.removeprefix("whsec_")
        with suppress(ValueError):
            yield b64decode(text + "=" * (-len(text) % 4), validate=True)
        if text is secret:
            # Without the prefix it may be base64 or simply text.
            yield from super().keys(secret)

    def written(self, digest: bytes) -> str:
        return f"v1,{b64encode(digest).decode()}"


SCHEMES: dict[str, _Scheme] = {
    "github": _GitHub(),
    "stripe": _Stripe(),
    "slack": _Slack(),
    "standard-webhooks": _StandardWebhooks(),
}


def has_signature(names: Container[str]) -> bool:
    """Whether the header of some scheme is among these."""
    return any(scheme.header in names for scheme in SCHEMES.values())


def claimed_ids(headers: Headers, body: bytes) -> list[str]:
    """The ids of a delivery that a request claims, by the schemes whose own header it
    has. Nothing of it is proven."""
    found = []
    for scheme in SCHEMES.values():
        if scheme.header in headers:
            with suppress(InvalidSignatureError):
                claim = scheme.claim(headers, body, scheme.header)
                found.append(claim.delivery_id or scheme.id_in(body))
    return [claimed for claimed in found if claimed]


def _required(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        raise InvalidSignatureError(f"there is no header {name}")
    return value


def _listed(headers: Headers, name: str) -> list[str]:
    return [one.strip() for one in _required(headers, name).split(",")]


def _check_age(sent_at: str, now: datetime) -> None:
    if not re.fullmatch(r"[0-9]{1,15}", sent_at):
        raise InvalidSignatureError("the time of the request is no number of seconds")
    age = now.timestamp() - int(sent_at)
    if abs(age) > TOLERANCE:
        raise InvalidSignatureError(
            f"the request is from {abs(age):.0f} s {'ago' if age > 0 else 'ahead'}; "
            f"{TOLERANCE} s are tolerated"
        )


def _field(body: bytes, name: str) -> str | None:
    """A text in a JSON object; None if the body is something else."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, str) and value else None


def _bytes(text: str) -> bytes:
    """Text as bytes, whatever a stranger has put into it."""
    return text.encode("utf-8", "surrogatepass")
