"""The public route of webhooks."""

from __future__ import annotations

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.db.utils import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from django_workflows.http.discretion import forget_variables
from django_workflows.webhooks.receiving import aresume_webhook, empty_response

logger = logging.getLogger("django_workflows.webhooks")


@login_not_required
@csrf_exempt
@sensitive_variables()
async def webhook(request: HttpRequest, token: str) -> HttpResponse:
    """Deliver a request to the webhook with this token, and answer it.

    Nothing of the project's is asked who may do that: the token, and what the webhook
    verifies, decide. Failures of ours are logged here, as Django would log the path
    with them, and with it the token.
    """
    try:
        return await aresume_webhook(token, request)
    except (OperationalError, InterfaceError) as error:
        forget_variables(error)
        logger.exception("a webhook could not reach the database", extra=_FAILED)
        return empty_response(503)
    except Exception as error:
        forget_variables(error)
        logger.exception("a webhook could not be served", extra=_FAILED)
        return empty_response(500)


_FAILED = {"action": "webhook_failed"}
# A request that waits for its answer must not hold a transaction open.
for _name in connections:
    webhook = transaction.non_atomic_requests(using=_name)(webhook)
