"""Clients of the API, by who they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from django_workflows import start
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.api.workflows import sleeping

API = "/workflows/api/"
OWN_RUNS = {"PERMISSION_CLASSES": ["tests.api.permissions.OwnRuns"]}

ClientOf = Callable[[str], APIClient]


@pytest.fixture
def client_of(db: Any) -> ClientOf:
    """A client by role: ``anonymous``, ``staff`` or the name of a plain user."""

    def make(role: str) -> APIClient:
        client = APIClient(raise_request_exception=True)
        if role != "anonymous":
            user, _ = User.objects.get_or_create(
                username=role, defaults={"is_staff": role == "staff"}
            )
            client.force_login(user)
        return client

    return make


@pytest.fixture
def staff(client_of: ClientOf) -> APIClient:
    return client_of("staff")


@pytest.fixture
def anns_run(workflows: WorkflowTester) -> Run:
    """A sleeping run that belongs to Ann."""
    run = start(sleeping.options(attributes={"owner": "ann"}))
    workflows.run_until_idle()
    run.refresh_from_db()
    return run
