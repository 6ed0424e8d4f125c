"""Who may do what: by default staff, else whom the permission classes let."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from rest_framework.permissions import IsAdminUser
from rest_framework.test import APIClient

from django_workflows import start
from django_workflows.models import Run
from tests.api.conftest import API, OWN_RUNS, ClientOf
from tests.api.permissions import IsOwner, OnlyLists, OwnRuns
from tests.api.workflows import sleeping

#: Every route of one run: method, path, body, and the status for who may.
ROUTES = [
    ("get", "", None, 200),
    ("get", "events/", None, 200),
    ("get", "steps/", None, 200),
    ("post", "cancel/", {"reason": "r"}, 200),
    ("post", "terminate/", {}, 200),
    ("post", "pause/", {}, 200),
    ("post", "resume/", {}, 409),
    ("post", "retry/", {}, 409),
    ("post", "wake/", {}, 200),
    ("post", "replay/", {}, 201),
    ("post", "fork/", {"from_step": 1}, 201),
]
EVERY_ROUTE = pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    ROUTES,
    ids=[r[1] or "detail" for r in ROUTES],
)


def ask(client: APIClient, method: str, path: str, body: Any = None) -> Any:
    return client.generic(
        method.upper(),
        f"{API}{path}",
        "" if body is None else json.dumps(body),
        content_type="application/json",
    )


@EVERY_ROUTE
@pytest.mark.parametrize("role", ["anonymous", "ann", "staff"])
def test_by_default_staff_may_do_all_and_nobody_else_anything(
    client_of: ClientOf,
    anns_run: Run,
    role: str,
    method: str,
    path: str,
    body: Any,
    allowed: int,
) -> None:
    answer = ask(client_of(role), method, f"runs/{anns_run.pk}/{path}", body)
    assert answer.status_code == (allowed if role == "staff" else 403)


@pytest.mark.parametrize("role", ["anonymous", "ann"])
def test_by_default_only_staff_may_list_and_start(
    client_of: ClientOf, role: str
) -> None:
    client = client_of(role)
    assert client.get(API).status_code == 403
    assert client.get(f"{API}runs/").status_code == 403
    assert ask(client, "post", "runs/", {"workflow": "api.sleeping"}).status_code == 403
    assert not Run.objects.exists()


@EVERY_ROUTE
@pytest.mark.parametrize("role", ["anonymous", "ann", "bob", "staff"])
def test_who_may_not_have_a_run_is_not_told_that_there_is_one(
    client_of: ClientOf,
    anns_run: Run,
    role: str,
    method: str,
    path: str,
    body: Any,
    allowed: int,
) -> None:
    client = client_of(role)
    events = anns_run.events.count()
    with override_settings(WORKFLOWS=OWN_RUNS):
        answer = ask(client, method, f"runs/{anns_run.pk}/{path}", body)
        unknown = ask(client, method, f"runs/wrun_unknown/{path}", body)
    if role == "ann":
        assert (answer.status_code, unknown.status_code) == (allowed, 404)
        return
    refusal = 403 if role == "anonymous" else 404
    assert answer.status_code == unknown.status_code == refusal
    assert answer.json() == unknown.json()
    assert Run.objects.count() == 1
    assert anns_run.events.count() == events


@pytest.mark.parametrize("named", ["OwnRuns", "IsOwner", "OnlyLists"])
def test_lists_have_what_can_be_opened(client_of: ClientOf, named: str) -> None:
    runs = [
        start(sleeping.options(attributes={"owner": owner}))
        for owner in ("ann", "bob", "ann")
    ]
    setting = {"PERMISSION_CLASSES": [f"tests.api.permissions.{named}"]}
    with override_settings(WORKFLOWS=setting):
        client = client_of("bob")
        listed = client.get(f"{API}runs/").json()["results"]
        opened = [client.get(f"{API}runs/{run.pk}/").status_code for run in runs]
    assert [run["id"] for run in listed] == [runs[1].pk]
    assert opened == [404, 200, 404]


@override_settings(WORKFLOWS=OWN_RUNS)
def test_nobody_starts_what_they_may_not_have(client_of: ClientOf) -> None:
    client = client_of("bob")
    body = {"workflow": "api.sleeping", "attributes": {"owner": "ann"}}
    assert ask(client, "post", "runs/", body).status_code == 404
    assert not Run.objects.exists()
    body["attributes"] = {"owner": "bob"}
    assert ask(client, "post", "runs/", body).status_code == 201


@override_settings(WORKFLOWS=OWN_RUNS)
def test_a_key_does_not_lead_to_the_run_of_somebody_else(client_of: ClientOf) -> None:
    start(sleeping.options(key="k", attributes={"owner": "ann"}))
    body = {"workflow": "api.sleeping", "key": "k", "attributes": {"owner": "bob"}}
    answer = ask(client_of("bob"), "post", "runs/", body)
    assert answer.status_code == 404
    assert ask(client_of("ann"), "post", "runs/", body).status_code == 200
    assert Run.objects.count() == 1


@override_settings(
    WORKFLOWS={
        "PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
        "AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
    }
)
def test_the_classes_of_the_settings_are_taken(client_of: ClientOf) -> None:
    client = client_of("anonymous")
    assert client.get(f"{API}runs/").status_code == 200
    # Known by a class that the settings name, and not by a session.
    client.credentials(HTTP_AUTHORIZATION="Basic bm86Ym9keQ==")
    answer = client.get(f"{API}runs/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Basic")


@override_settings(WORKFLOWS={"PERMISSION_CLASSES": ["tests.api.permissions.Nobody"]})
def test_all_permission_classes_have_to_agree(staff: APIClient) -> None:
    assert staff.get(f"{API}runs/").status_code == 403


@pytest.mark.parametrize(
    "joined",
    [
        OwnRuns | IsAdminUser,
        ~(IsAdminUser & OnlyLists),
        IsAdminUser | (IsOwner & OwnRuns),
    ],
)
def test_a_filter_that_would_be_lost_is_refused(staff: APIClient, joined: Any) -> None:
    with (
        override_settings(WORKFLOWS={"PERMISSION_CLASSES": [joined]}),
        pytest.raises(ImproperlyConfigured, match="filter_queryset"),
    ):
        staff.get(f"{API}runs/")


def test_classes_may_be_joined(client_of: ClientOf, anns_run: Run) -> None:
    with override_settings(WORKFLOWS={"PERMISSION_CLASSES": [IsOwner | IsAdminUser]}):
        for role, seen in (("ann", 1), ("bob", 0), ("staff", 1)):
            client = client_of(role)
            assert len(client.get(f"{API}runs/").json()["results"]) == seen
            code = client.get(f"{API}runs/{anns_run.pk}/").status_code
            assert code == (200 if seen else 404)


@pytest.mark.parametrize("key", ["PERMISSION_CLASSES", "AUTHENTICATION_CLASSES"])
def test_a_class_that_is_not_there_is_named(staff: APIClient, key: str) -> None:
    with (
        override_settings(WORKFLOWS={key: ["tests.api.nowhere.Class"]}),
        pytest.raises(ImproperlyConfigured, match=key),
    ):
        staff.get(f"{API}runs/")


def test_a_session_needs_the_csrf_token(db: Any) -> None:
    user = User.objects.create_user("staff", is_staff=True)
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)
    body = {"workflow": "api.sleeping"}
    refused = client.post(f"{API}runs/", body, format="json")
    assert refused.status_code == 403
    assert "CSRF" in refused.json()["detail"]
    token = "a" * 32
    client.cookies["csrftoken"] = token
    taken = client.post(f"{API}runs/", body, format="json", HTTP_X_CSRFTOKEN=token)
    assert taken.status_code == 201


@pytest.mark.parametrize(
    "run_id", ["x", "wrun_0%00", "%F0%9F%A6%8A", "wrun_" + "0" * 500, "'--", "..%2F"]
)
def test_nonsense_for_an_id_is_not_found(staff: APIClient, run_id: str) -> None:
    assert staff.get(f"{API}runs/{run_id}/").status_code == 404
    assert staff.post(f"{API}runs/{run_id}/cancel/").status_code == 404
