"""The streams in the page of a run."""

from __future__ import annotations

import pytest
from django.test import Client, override_settings

from django_workflows import get_run, start
from django_workflows.core.serialization import dumps
from django_workflows.models import Run, StreamChunk
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, queries_of, run_url, text_of, user_with
from tests.admin.panels import doubling, links, panel, tale

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(workflows: WorkflowTester) -> Run:
    run = start(tale, 30)
    workflows.run_until_idle()
    return get_run(run.pk)


def test_the_last_chunks_are_shown_by_namespace(
    admin_client: Client, told: Run
) -> None:
    html = panel(admin_client, told, "streams")
    text = text_of(html)
    assert "Without a namespace 1 chunk, open" in text
    assert "&lt;b&gt;all told&lt;/b&gt;" in html
    assert "words 30 chunks, open" in text
    assert '{"word": 29, "password": "secret 29"}' in text
    assert '{"word": 10, ' in text
    assert '{"word": 9, ' not in text
    told.terminate()
    assert "words 30 chunks, closed" in text_of(panel(admin_client, told, "streams"))


def test_what_is_named_secret_is_hidden(admin_client: Client, told: Run) -> None:
    with override_settings(WORKFLOWS={"REDACT": ["password"]}):
        html = panel(admin_client, told, "streams")
    assert "secret 29" not in html
    assert "[redacted]" in html


def test_who_may_not_see_payloads_sees_none(told: Run) -> None:
    client = client_of(user_with("view_run"))
    for query in ({}, {"follow": "words"}):
        html = panel(client, told, "streams", **query)
        assert "You may not see payloads." in html
        assert "words" in html
        for secret in ("secret", "all told", "<workflow-stream", "follow="):
            assert secret not in html


def test_a_stream_can_be_followed(admin_client: Client, told: Run) -> None:
    url = f"{run_url(told)}?follow=words"
    html = panel(admin_client, told, "streams")
    assert "<workflow-stream" not in html
    assert any(each.startswith(url) for each in links(html).values())
    html = panel(admin_client, told, "streams", follow="words")
    assert html.count("<workflow-stream") == 1
    assert f"/workflows/api/runs/{told.pk}/stream/" in html
    assert "all told" in html
    assert links(html)["Show the last chunks only"] == f"{run_url(told)}?#streams"


@override_settings(ROOT_URLCONF="tests.admin.urls_without_api")
def test_without_the_rest_api_it_cannot(admin_client: Client, told: Run) -> None:
    html = panel(admin_client, told, "streams", follow="words")
    assert "<workflow-stream" not in html
    assert "follow=" not in html
    assert "secret 29" in html


def test_what_is_too_long_is_left_out(
    admin_client: Client, workflows: WorkflowTester, told: Run
) -> None:
    chunks = StreamChunk.objects.filter(stream__run=told, stream__namespace="words")
    chunks.filter(index=29).update(payload=dumps("long " * 10_000))
    html = panel(admin_client, told, "streams")
    assert "Too long to be shown here." in html
    assert "long long" not in html
    assert "secret 28" in html


def test_a_run_that_has_written_nothing_has_no_such_panel(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(doubling, 1)
    workflows.run_until_idle()
    assert panel(admin_client, run, "streams") == ""


def test_long_streams_take_as_many_queries_as_short_ones(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    few, many = start(tale, 1), start(tale, 100)
    workflows.run_until_idle()
    assert queries_of(admin_client, run_url(few)) == queries_of(
        admin_client, run_url(many)
    )
