"""Signatures of webhooks: the providers' own examples, and everything forged."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from django_workflows import hmac_signature
from django_workflows.core.headers import Headers
from django_workflows.core.signatures import (
    SCHEMES,
    HmacSignature,
    InvalidSignatureError,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
KEY = b64encode(b"a key of thirty-two bytes, always").decode()
SECRETS = dict.fromkeys(SCHEMES, "a secret") | {"standard-webhooks": f"whsec_{KEY}"}


def digest(key: bytes | str, content: bytes) -> bytes:
    key = key.encode() if isinstance(key, str) else key
    return hmac.new(key, content, "sha256").digest()


def github(body: bytes, secret: str, stamp: str) -> dict[str, str]:
    return {
        "X-Hub-Signature-256": f"sha256={digest(secret, body).hex()}",
        "X-GitHub-Delivery": "d-1",
    }


def stripe(body: bytes, secret: str, stamp: str) -> dict[str, str]:
    signature = digest(secret, f"{stamp}.".encode() + body).hex()
    return {"Stripe-Signature": f"t={stamp},v1={signature},v0=77"}


def slack(body: bytes, secret: str, stamp: str) -> dict[str, str]:
    signature = digest(secret, f"v0:{stamp}:".encode() + body).hex()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={signature}"}


def standard(body: bytes, secret: str, stamp: str) -> dict[str, str]:
    key = b64decode(secret.removeprefix("whsec_"))
    signature = b64encode(digest(key, f"msg_1.{stamp}.".encode() + body)).decode()
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature}",
    }


Signer = Callable[[bytes, str, str], dict[str, str]]
SIGNERS: dict[str, Signer] = {
    "github": github,
    "stripe": stripe,
    "slack": slack,
    "standard-webhooks": standard,
}


def signed(
    scheme: str, body: bytes, *, secret: str | None = None, stamp: str = STAMP
) -> dict[str, str]:
    """The headers with which the provider would send a body."""
    return SIGNERS[scheme](body, secret or SECRETS[scheme], stamp)


def verify(
    scheme: str,
    body: bytes,
    headers: Any,
    *,
    secrets: list[str] | None = None,
    now: datetime = NOW,
    header: str | None = None,
) -> str | None:
    return hmac_signature("SECRET", header, scheme).verify(
        Headers(headers),
        body,
        secrets=[SECRETS[scheme]] if secrets is None else secrets,
        now=now,
    )


# -- what providers publish ----------------------------------------------------------


def test_example_of_github() -> None:
    """docs.github.com, "Validating webhook deliveries", section "Testing the webhook
    payload validation"."""
    signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {
        "X-Hub-Signature-256": f"sha256={signature}",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    }
    secrets = ["It's a Secret to Everybody"]
    delivery = verify("github", b"Hello, World!", headers, secrets=secrets)
    assert delivery == "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def test_example_of_slack() -> None:
    """api.slack.com, "Verifying requests from Slack", the request of its example."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA"
        b"&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J"
        b"%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    headers = {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": f"v0={signature}",
    }
    then = datetime.fromtimestamp(1531420618, UTC)
    secrets = ["8f742231b10e8888abcd99yyyzzz85a5"]
    assert verify("slack", body, headers, secrets=secrets, now=then) is None


@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_example_of_standard_webhooks(prefix: str) -> None:
    """Of the reference libraries' tests, and of docs.svix.com, "Verifying payloads"."""
    headers = {
        f"{prefix}-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        f"{prefix}-timestamp": "1614265330",
        f"{prefix}-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    delivery = verify(
        "standard-webhooks",
        b'{"test": 2432232314}',
        headers,
        secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        now=datetime.fromtimestamp(1614265330, UTC),
        header=f"{prefix}-signature",
    )
    assert delivery == "msg_p5jXN8AQM9LWM0D4loKWxJek"


@given(st.text(max_size=50))
def test_what_the_library_of_standard_webhooks_signs(text: str) -> None:
    headers = {
        "webhook-id": "msg_2",
        "webhook-timestamp": STAMP,
        "webhook-signature": Webhook(KEY).sign("msg_2", NOW, text),
    }
    body = text.encode("utf-8")
    assert verify("standard-webhooks", body, headers) == "msg_2"
    assert verify("standard-webhooks", body, headers, secrets=[KEY]) == "msg_2"


def test_algorithm_of_stripe() -> None:
    """docs.stripe.com, "Verify webhook signatures manually", which gives no example:
    HMAC with SHA-256 of time, dot and body, in hexadecimal digits."""
    body = b'{"id": "evt_1", "object": "event"}'
    signature = digest("whsec_test", f"{STAMP}.".encode() + body).hex()
    headers = {"Stripe-Signature": f"t={STAMP},v1={signature},v0=6ffbb59b"}
    assert verify("stripe", body, headers, secrets=["whsec_test"]) == "evt_1"


# -- ids of deliveries ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "body", "delivery"),
    [
        ("github", b"{}", "d-1"),
        ("stripe", b'{"id": "evt_1"}', "evt_1"),
        ("slack", b'{"type": "event_callback", "event_id": "Ev1"}', "Ev1"),
        ("standard-webhooks", b"{}", "msg_1"),
        *[
            (scheme, body, None)
            for scheme in ("stripe", "slack")
            for body in (b"", b"a=1", b"[1]", b'{"id": 7}', b"\xff", b"[" * 100_000)
        ],
    ],
)
def test_delivery_id(scheme: str, body: bytes, delivery: str | None) -> None:
    assert verify(scheme, body, signed(scheme, body)) == delivery


def test_delivery_of_github_without_an_id() -> None:
    headers = signed("github", b"{}")
    del headers["X-GitHub-Delivery"]
    assert verify("github", b"{}", headers) is None


# -- forged, stale, malformed --------------------------------------------------------


@given(
    scheme=st.sampled_from(list(SCHEMES)),
    body=st.binary(min_size=1, max_size=50),
    data=st.data(),
)
def test_no_bit_can_be_changed(scheme: str, body: bytes, data: st.DataObject) -> None:
    headers = signed(scheme, body)
    covered = [name for name in headers if name != "X-GitHub-Delivery"]
    name = data.draw(st.sampled_from(["body", *covered]))
    value = body if name == "body" else headers[name].encode()
    if scheme == "stripe" and name != "body":
        value = value.removesuffix(b",v0=77")
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    number = int.from_bytes(value, "big") ^ (1 << bit)
    changed = number.to_bytes(len(value), "big")
    if name == "body":
        body = changed
    else:
        headers[name] = changed.decode("latin-1")
    with pytest.raises(InvalidSignatureError):
        verify(scheme, body, headers)


@given(
    scheme=st.sampled_from(list(SCHEMES)),
    body=st.binary(max_size=20),
    texts=st.lists(st.text(max_size=40), min_size=4, max_size=4),
)
def test_no_headers_make_it_fail(scheme: str, body: bytes, texts: list[str]) -> None:
    names = list(signed(scheme, body))
    with pytest.raises(InvalidSignatureError):
        verify(scheme, body, list(zip(names, texts, strict=False)))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "=", ",", ",,,", "t=", "t", "v0=", "v1,", "sha256=", "v1=,t="),
        *("t=1,t=2", "t=-1,v1=a", "ü", "\udcff", "9" * 9999, "=" * 9999, "v1, v1, v1"),
        *(f"t={STAMP}", f"t={STAMP},v1", f"t={STAMP},v1=", f"t={STAMP}.0,v1=a"),
    ],
)
def test_malformed_values_are_refused(scheme: str, value: str) -> None:
    """Each in every header, and in one of them."""
    headers = signed(scheme, b"")
    for name in headers:
        if name != "X-GitHub-Delivery":
            with pytest.raises(InvalidSignatureError):
                verify(scheme, b"", {**headers, name: value})
    with pytest.raises(InvalidSignatureError):
        verify(scheme, b"", dict.fromkeys(headers, value))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_missing_headers_are_named(scheme: str) -> None:
    headers = signed(scheme, b"")
    for name in set(headers) - {"X-GitHub-Delivery"}:
        rest = {key: value for key, value in headers.items() if key != name}
        with pytest.raises(InvalidSignatureError, match=f"(?i)no header {name}"):
            verify(scheme, b"", rest)


@pytest.mark.parametrize("scheme", ["stripe", "slack", "standard-webhooks"])
@pytest.mark.parametrize(("seconds", "passes"), [(299, True), (301, False)])
@pytest.mark.parametrize("direction", [1, -1])
def test_age(scheme: str, seconds: int, passes: bool, direction: int) -> None:
    headers = signed(scheme, b"{}")
    now = NOW + timedelta(seconds=seconds * direction)
    if passes:
        verify(scheme, b"{}", headers, now=now)
    else:
        with pytest.raises(InvalidSignatureError, match="301 s"):
            verify(scheme, b"{}", headers, now=now)


def test_id_and_time_cannot_pass_for_an_id() -> None:
    """Signed is "msg_1.<time>.<body>": with a body that begins like a time, the same
    text could be read as another id, time and body."""
    body = f"{STAMP}.pay twice".encode()
    old = str(int(STAMP) - 9999)
    headers = signed("standard-webhooks", body, stamp=old)
    headers |= {"webhook-id": f"msg_1.{old}", "webhook-timestamp": STAMP}
    with pytest.raises(InvalidSignatureError, match="ends like a time"):
        verify("standard-webhooks", b"pay twice", headers)


@pytest.mark.parametrize("delivery", ["17", "a.b", "order.7.paid"])
def test_ids_may_have_dots_and_digits(delivery: str) -> None:
    headers = {
        "webhook-id": delivery,
        "webhook-timestamp": STAMP,
        "webhook-signature": Webhook(KEY).sign(delivery, NOW, "{}"),
    }
    assert verify("standard-webhooks", b"{}", headers) == delivery


# -- several secrets, several signatures ---------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_any_of_several_secrets(scheme: str, place: int) -> None:
    other = f"whsec_{b64encode(b'other').decode()}"
    secrets = [other, "", "whsec_*"]
    headers = signed(scheme, b"{}")
    with pytest.raises(InvalidSignatureError, match="no signature"):
        verify(scheme, b"{}", headers, secrets=secrets)
    secrets[place] = SECRETS[scheme]
    verify(scheme, b"{}", headers, secrets=secrets)


@pytest.mark.parametrize("place", [0, 1])
def test_any_of_several_signatures(place: int) -> None:
    """As Stripe and Standard Webhooks send while a secret is replaced."""
    old = f"whsec_{b64encode(b'old').decode()}"
    for scheme, separator in (("stripe", ","), ("standard-webhooks", " ")):
        both = [signed(scheme, b"{}"), signed(scheme, b"{}", secret=old)]
        name = SCHEMES[scheme].header
        values = [headers[name].removesuffix(",v0=77") for headers in both]
        if scheme == "stripe":
            values[1 - place] = values[1 - place].partition(",")[2]
        ordered = values if place == 0 else values[::-1]
        headers = {**both[0], name: separator.join([*ordered, "v2,x"])}
        verify(scheme, b"{}", headers)
        verify(scheme, b"{}", headers, secrets=[old])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("secrets", [[], [""], ["whsec_"], ["whsec_===="]])
def test_without_a_secret_everything_is_refused(
    scheme: str, secrets: list[str]
) -> None:
    """Not even what is signed with an empty key passes."""
    if scheme != "standard-webhooks":
        secrets = [secret for secret in secrets if not secret.startswith("whsec_")]
    headers = SIGNERS["standard-webhooks"](b"{}", "whsec_", STAMP)
    headers |= SIGNERS["github"](b"{}", "", STAMP)
    headers |= SIGNERS["stripe"](b"{}", "", STAMP)
    headers |= SIGNERS["slack"](b"{}", "", STAMP)
    with pytest.raises(InvalidSignatureError, match="SECRET holds no usable secret"):
        verify(scheme, b"{}", headers, secrets=secrets)


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("one", ["one"]),
        (["new", "old"], ["new", "old"]),
        (("new", "old"), ["new", "old"]),
        *[(nothing, []) for nothing in ("", [], None, [""], [None], 5, {"a": 1})],
    ],
)
def test_secrets_of_a_setting(value: Any, secrets: list[str]) -> None:
    with override_settings(WEBHOOK_SECRET=value):
        assert hmac_signature("WEBHOOK_SECRET").secrets() == secrets
    assert hmac_signature("WEBHOOK_SECRET").secrets() == []


# -- the value -----------------------------------------------------------------------


def test_value_holds_names_only() -> None:
    with override_settings(WEBHOOK_SECRET="hush"):
        signature = hmac_signature(secret="WEBHOOK_SECRET", scheme="slack")
    assert asdict(signature) == {
        "secret": "WEBHOOK_SECRET",
        "header": "X-Slack-Signature",
        "scheme": "slack",
    }
    assert HmacSignature(**asdict(signature)) == signature
    assert replace(signature, header="X") == hmac_signature(
        "WEBHOOK_SECRET", "X", "slack"
    )


@pytest.mark.parametrize("scheme", ["sha256", "", None, "GitHub"])
def test_unknown_schemes_are_refused(scheme: Any) -> None:
    with pytest.raises(ValueError, match="there are github, stripe"):
        hmac_signature("SECRET", scheme=scheme)


@pytest.mark.parametrize("secret", ["s3cr3t-value", "hush", "", None, b"SECRET", 7])
def test_secret_in_place_of_its_setting_is_refused(secret: Any) -> None:
    """And is not repeated in the error, which is stored and logged."""
    with pytest.raises(ValueError, match="name of a Django setting") as caught:
        hmac_signature(secret)
    assert not secret or str(secret) not in str(caught.value)


@pytest.mark.parametrize("header", ["", "  "])
def test_header_without_a_name_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        hmac_signature("SECRET", header)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_reasons_tell_no_secret(scheme: str) -> None:
    headers = signed(scheme, b"{}", secret=f"whsec_{b64encode(b'forged').decode()}")
    with pytest.raises(InvalidSignatureError) as caught:
        verify(scheme, b"{}", headers)
    assert SECRETS[scheme] not in str(caught.value)
    assert KEY not in str(caught.value)
