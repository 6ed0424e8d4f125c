"""The OpenAPI description, and the API as pages for people."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import include, path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.settings import spectacular_settings
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from django_workflows import create_hook, start, workflow
from django_workflows.api.openapi import description
from django_workflows.testing import WorkflowTester

API = "/workflows/api"
pytestmark = pytest.mark.django_db


@workflow
async def waiting(token: str) -> Any:
    return await create_hook(token=token, metadata={"about": "<b>cake</b>"})


class Other(APIView):
    """A view of the project's own, which describes itself in no way."""

    def get(self, request: Any) -> Response:
        return Response({})


urlpatterns = [
    path("other/", Other.as_view()),
    path("acme/flows/", include("django_workflows.api.urls")),
    path("acme/flows/", include([path("deliveries/", Other.as_view())])),
]


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    return client


# -- the description ------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["?format=json", "?format=yaml", ""])
def test_the_description_is_json_or_yaml(staff: Client, asked: str) -> None:
    found = staff.get(f"{API}/schema/{asked}")
    assert found.status_code == 200
    read = json.loads if "json" in asked else yaml.safe_load
    assert read(found.content)["paths"].keys() >= {
        f"{API}/runs/",
        f"{API}/runs/{{id}}/cancel/",
        f"{API}/hooks/{{token}}/resume/",
    }


@pytest.mark.parametrize("asked", ["?format=json", "?format=yaml", ""])
def test_errors_are_json_whatever_is_asked_for(client: Client, asked: str) -> None:
    refused = client.get(f"{API}/schema/{asked}")
    assert (refused.status_code, refused["Content-Type"]) == (403, "application/json")
    assert "credentials" in refused.json()["detail"]


def test_the_description_has_the_routes_as_they_lie_in_the_project(
    staff: Client, settings: Any
) -> None:
    settings.ROOT_URLCONF = __name__
    paths = staff.get("/acme/flows/schema/?format=json").json()["paths"]
    assert "/acme/flows/runs/" in paths
    assert all(path.startswith("/acme/flows/") for path in paths)


def test_routes_of_the_project_may_follow_under_the_same_prefix(
    staff: Client, settings: Any
) -> None:
    settings.ROOT_URLCONF = __name__
    assert staff.get("/acme/flows/deliveries/").json() == {}
    lost = staff.get("/acme/flows/runs/a/b/")
    assert (lost.status_code, lost.json()) == (404, {"detail": "Not found."})


def test_the_description_leaves_nothing_open(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """drf-spectacular writes what it had to guess to stderr."""
    described = description("")
    assert capsys.readouterr().err == ""
    assert not GENERATOR_STATS
    operations = [op for ops in described["paths"].values() for op in ops.values()]
    for operation in operations:
        assert operation["description"], operation["operationId"]
        assert {"401", "403", "404", "406", "429"} <= operation["responses"].keys()
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)


def test_bodies_have_examples() -> None:
    bodies = {
        operation["operationId"]: operation["requestBody"]["content"]
        for operations in description("")["paths"].values()
        for operation in operations.values()
        if "requestBody" in operation
    }
    assert bodies
    for name, content in bodies.items():
        assert content.keys() == {"application/json"}, name
        assert content["application/json"]["examples"], name


def test_the_project_keeps_its_own_description_to_itself(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(endpoints: Any) -> list[Any]:
        return []

    def spoiled(result: Any, **_: Any) -> dict[str, Any]:
        return {}

    theirs = {
        "TITLE": "A shop",
        "SERVERS": [{"url": "https://shop.example"}],
        "PREPROCESSING_HOOKS": [none],
        "POSTPROCESSING_HOOKS": [spoiled],
    }
    for name, value in theirs.items():
        monkeypatch.setattr(spectacular_settings, name, value)
    described = staff.get(f"{API}/schema/?format=json").json()
    assert described["info"]["title"] == "Django Workflows"
    assert described["paths"]
    assert "servers" not in described
    assert {name: getattr(spectacular_settings, name) for name in theirs} == theirs


def test_neither_app_is_needed_and_other_views_stay_as_they_are() -> None:
    assert not apps.is_installed("drf_spectacular")
    assert not apps.is_installed("django_filters")
    default: Any = api_settings.DEFAULT_SCHEMA_CLASS
    assert type(Other.schema) is default


# -- pages ----------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["", "runs/", "workflows/", "workers/", "health/"])
def test_people_get_pages_and_programs_json(staff: Client, route: str) -> None:
    page = staff.get(f"{API}/{route}", HTTP_ACCEPT="text/html")
    assert page["Content-Type"].startswith("text/html")
    assert b"<html" in page.content
    assert staff.get(f"{API}/{route}")["Content-Type"] == "application/json"


def test_a_hook_is_shown_and_resumed_on_pages(
    staff: Client, workflows: WorkflowTester
) -> None:
    run = start(waiting, "a/b")
    workflows.run_until_idle()
    page = staff.get(f"{API}/hooks/a/b/", HTTP_ACCEPT="text/html")
    assert page.status_code == 200
    assert "cake" in page.text
    assert "<b>cake" not in page.text
    assert run.pk in page.text


def test_there_are_no_pages_where_the_project_wants_none(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_settings, "DEFAULT_RENDERER_CLASSES", [JSONRenderer])
    refused = staff.get(f"{API}/runs/", HTTP_ACCEPT="text/html")
    assert refused.status_code == 406


def test_without_the_app_of_rest_framework_there_is_json(
    staff: Client, settings: Any
) -> None:
    """Its templates are not found then."""
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "rest_framework"
    ]
    assert staff.get(f"{API}/runs/", HTTP_ACCEPT="*/*").json()["results"] == []
    assert staff.get(f"{API}/", HTTP_ACCEPT="text/html").status_code == 406
