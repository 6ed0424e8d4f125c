"""The API as pages that a person can use."""

from __future__ import annotations

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from django_workflows.models import Run
from tests.api.conftest import API


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "/workflows/api/runs/"),
        ("runs/", 'name="created_after"'),
        ("runs/?page_size=1&status=running", "wrun_"),
        ("runs/{id}/", "is_waiting"),
        ("runs/{id}/events/", 'name="correlation_id"'),
        ("runs/{id}/steps/", 'name="status"'),
    ],
)
def test_every_page_can_be_read(
    staff: APIClient, anns_run: Run, path: str, said: str
) -> None:
    url = f"{API}{path.format(id=anns_run.pk)}"
    page = staff.get(url, HTTP_ACCEPT="text/html")
    assert page.status_code == 200
    assert page["Content-Type"].startswith("text/html")
    assert said in page.content.decode()


def test_a_form_starts_and_steers(staff: APIClient, anns_run: Run) -> None:
    page = staff.get(f"{API}runs/", HTTP_ACCEPT="text/html").content.decode()
    assert 'name="workflow"' in page
    answer = staff.post(
        f"{API}runs/{anns_run.pk}/cancel/", {"reason": "r"}, HTTP_ACCEPT="text/html"
    )
    assert answer.status_code == 200
    assert anns_run.events.filter(type="cancel_requested").exists()


def test_values_are_escaped(staff: APIClient) -> None:
    attributes = {"a": "<script>alert(1)</script>"}
    body = {"workflow": "api.sleeping", "attributes": attributes}
    run = staff.post(f"{API}runs/", body, format="json").json()
    for path in ("", f"{run['id']}/"):
        page = staff.get(f"{API}runs/{path}", HTTP_ACCEPT="text/html")
        assert b"<script>alert" not in page.content


@override_settings(
    REST_FRAMEWORK={
        "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.NamespaceVersioning",
        "DEFAULT_PAGINATION_CLASS": None,
        "PAGE_SIZE": 3,
    }
)
def test_what_the_project_sets_for_its_own_api_changes_nothing_here(
    staff: APIClient, anns_run: Run
) -> None:
    (run,) = staff.get(f"{API}runs/").json()["results"]
    assert run["id"] == anns_run.pk
