"""The page of a run."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from django_workflows import start, workflow


@workflow
async def waiting() -> None:
    """Has nothing to do."""


@pytest.mark.django_db
def test_a_run_has_a_page(admin_client: Client) -> None:
    run = start(waiting)
    url = reverse("admin:django_workflows_run_change", args=[run.pk])
    answer = admin_client.get(url)
    assert answer.status_code == 200
    assert "Waiting for a worker of queue default" in answer.content.decode()
    assert admin_client.post(url, {"status": "completed"}).status_code == 403
