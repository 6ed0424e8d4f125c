from __future__ import annotations

import pytest

from django_workflows.checks.webhooks import check_webhooks
from tests.checks.conftest import Define

SOURCE = """
import django_workflows
from django_workflows import create_webhook, create_webhook as hook, hmac_signature
from django_workflows.replay.definitions import workflow

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
    assert f"{module.__file__}:11: " in message.msg
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
