from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks

from django_workflows.checks.webhooks import check_secrets, check_webhooks
from tests.checks.conftest import Define

if TYPE_CHECKING:
    from pytest_django import Settings

SOURCE = """
import django_workflows
from django_workflows import create_webhook, create_webhook as hook, hmac_signature
from django_workflows.replay.definitions import workflow

VERIFY = hmac_signature("HOOK_SECRET", scheme="standard-webhooks")

def own(token):
    pass

@workflow
async def order(item=None):
    {body}
"""


@pytest.mark.parametrize(
    "body",
    [
        "create_webhook('shop')",
        "create_webhook(token=f'order:{item}')",
        "await hook('shop', verify=None)",
        "django_workflows.create_webhook('shop')",
        "create_webhook('shop', None, None, None)",
    ],
)
def test_token_that_can_be_guessed_is_found(define: Define, body: str) -> None:
    module = define(SOURCE.replace("{body}", body))
    (message,) = check_webhooks()
    assert message.id == "django_workflows.W002"
    assert message.obj is module.order
    assert f"{module.__file__}:13: " in message.msg
    assert "verify=" in (message.hint or "")


@pytest.mark.parametrize(
    "body",
    [
        "create_webhook()",
        "create_webhook(None, 'manual')",
        "create_webhook('shop', verify=hmac_signature('S'))",
        "create_webhook('shop', None, None, hmac_signature('S'))",
        "create_webhook('shop', **item)",
        "create_webhook(*item)",
        "own('shop')",
        "item.create_webhook('shop')",
    ],
)
def test_nothing_to_warn_of(define: Define, body: str) -> None:
    define(SOURCE.replace("{body}", body))
    assert check_webhooks() == []


@pytest.mark.parametrize(
    "body",
    [
        "create_webhook('shop', verify=hmac_signature('HOOK_SECRET'))",
        "create_webhook(verify=django_workflows.hmac_signature(secret='HOOK_SECRET'))",
        "create_webhook(verify=VERIFY)",
    ],
)
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "W043"),
        ("", "W043"),
        ([], "W043"),
        (["", None], "W043"),
        ("short", "W044"),
        (["short", "x" * 30], "W044"),
        ("x" * 30, None),
        (["x" * 30, "y" * 30], None),
    ],
)
def test_secrets_are_looked_at_before_a_deployment(
    define: Define, body: str, value: Any, code: str | None, settings: Settings
) -> None:
    settings.HOOK_SECRET = value
    module = define(SOURCE.replace("{body}", body))
    messages = check_secrets()
    assert [m.id for m in messages] == ([f"django_workflows.{code}"] if code else [])
    for message in messages:
        assert message.obj is module.order
        assert "HOOK_SECRET" in message.msg
        assert "short" not in str(message).replace("shorter", "")
        # Since 6.1 some of Django's own ask all databases unless told otherwise.
        assert message not in run_checks(databases=[])
        assert message in run_checks(databases=[], include_deployment_checks=True)


def test_secret_that_is_no_key_of_its_scheme(
    define: Define, settings: Settings
) -> None:
    settings.HOOK_SECRET = "whsec_no base64 at all"
    define(SOURCE.replace("{body}", "create_webhook(verify=VERIFY)"))
    (message,) = check_secrets()
    assert message.id == "django_workflows.W043"


@pytest.mark.parametrize(
    "body",
    [
        "create_webhook(verify=hmac_signature(item))",
        "create_webhook(verify=hmac_signature(**item))",
        "create_webhook(verify=hmac_signature('no setting'))",
        "create_webhook(verify=hmac_signature('S', 'H', 'github', 1))",
        "own('HOOK_SECRET')",
    ],
)
def test_secrets_that_are_known_later(define: Define, body: str) -> None:
    define(SOURCE.replace("{body}", body))
    assert check_secrets() == []
