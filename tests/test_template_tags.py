"""`{% workflow_stream %}` and `{% workflow_status %}` as the server renders them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from django.template import Context, Engine
from django.test import RequestFactory
from django.urls import set_script_prefix

from django_workflows import workflow
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester

HOSTILE = """'"><script>alert(1)</script>"""
SCRIPT = '<script type="module" src="/static/django_workflows/workflows.js"></script>'


@workflow
async def greet(name: str) -> str:
    return f"Hello, {name}"


class Elements(HTMLParser):
    """The elements of a page with their attributes, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> dict[str, str | None]:
        [attributes] = [found for name, found in self.found if name == tag]
        return attributes


def render(source: str, templates: dict[str, str] | None = None, **values: Any) -> str:
    engine = Engine(
        libraries={"workflows": "django_workflows.templatetags.workflows"},
        loaders=[
            ("django.template.loaders.locmem.Loader", templates or {}),
            "django.template.loaders.app_directories.Loader",
        ],
        builtins=["django_workflows.templatetags.workflows"],
    )
    return engine.from_string(source).render(Context(values))


def element(source: str, **values: Any) -> dict[str, str | None]:
    tag = source.split()[1].replace("_", "-")
    return Elements(render(source, **values)).named(tag)


# --- the stream -----------------------------------------------------------------------


def test_stream_says_all_that_the_browser_needs() -> None:
    html = render('{% workflow_stream "wrun_1" %}')
    assert html.startswith(SCRIPT)
    attributes = Elements(html).named("workflow-stream")
    labels = json.loads(attributes.pop("labels") or "")
    assert attributes == {
        "run": "wrun_1",
        "namespace": "",
        "start": "0",
        "format": "text",
        "transport": "websocket",
        "websocket-url": "/ws/workflows/runs/wrun_1/",
    }
    assert labels.keys() == {"progress", "reconnecting", "failed"}


def test_stream_takes_a_run_and_options() -> None:
    attributes = element(
        '{% workflow_stream run "log" start=-5 format="json" id="l" aria_label=it %}',
        run=Run(pk="wrun_1"),
        it="The log",
    )
    assert attributes["run"] == "wrun_1"
    assert attributes["namespace"] == "log"
    assert attributes["start"] == "-5"
    assert attributes["format"] == "json"
    assert attributes["id"] == "l"
    assert attributes["aria-label"] == "The log"


@pytest.mark.parametrize(
    "around", ["{}", "{{% autoescape off %}}{}{{% endautoescape %}}"]
)
def test_hostile_values_stay_values(around: str) -> None:
    tag = "{% workflow_stream run namespace aria_label=namespace %}"
    html = render(around.format(tag), run=HOSTILE, namespace=HOSTILE)
    page = Elements(html)
    assert [name for name, _ in page.found] == ["script", "workflow-stream"]
    attributes = page.named("workflow-stream")
    assert attributes["run"] == HOSTILE
    assert attributes["namespace"] == HOSTILE
    assert attributes["aria-label"] == HOSTILE


def test_namespace_in_the_page_s_own_text_stays_a_value() -> None:
    """Django takes texts in templates for markup, which a namespace never is."""
    html = render("{% workflow_stream 'wrun_1' namespace='\"><i>' %}")
    assert Elements(html).named("workflow-stream")["namespace"] == '"><i>'


def test_paths_of_a_site_under_a_prefix() -> None:
    set_script_prefix("/shop/")
    try:
        attributes = element('{% workflow_stream "wrun/1?" %}')
    finally:
        set_script_prefix("/")
    assert attributes["websocket-url"] == "/shop/ws/workflows/runs/wrun%2F1%3F/"


def test_routes_of_the_project_can_be_given() -> None:
    websocket = element('{% workflow_stream "wrun_1" websocket_url="wss://live/1" %}')
    assert websocket["websocket-url"] == "wss://live/1"
    events = element('{% workflow_stream "wrun_1" transport="sse" sse_url="/events" %}')
    assert events["transport"] == "sse"
    assert events["sse-url"] == "/events"
    assert "websocket-url" not in events


@pytest.mark.urls("django.contrib.auth.urls")
def test_events_without_the_api_are_refused() -> None:
    with pytest.raises(ValueError, match=r"django_workflows\.api\.urls"):
        render('{% workflow_stream "wrun_1" transport="sse" %}')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("missing", "takes a Run or the id of one, not ''"),
        ("5", "takes a Run or the id of one, not 5"),
        ('"wrun_1" format="html"', "format must be one of text, json, not 'html'"),
        ('"wrun_1" transport="smoke"', "transport must be one of websocket, sse"),
        ('"wrun_1" start="first"', "invalid literal"),
    ],
)
def test_nonsense_is_refused(arguments: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(f"{{% workflow_stream {arguments} %}}")


# --- the script -----------------------------------------------------------------------


def test_script_comes_once_per_page() -> None:
    html = render(
        '{% extends "base" %}{% block content %}{% include "part" %}'
        '{% include "part" only %}{% workflow_stream "wrun_3" %}{% endblock %}',
        {
            "base": '{% workflow_stream "wrun_0" %}{% block content %}{% endblock %}'
            '{% workflow_stream "wrun_4" %}',
            "part": '{% workflow_stream "wrun_1" %}',
        },
    )
    assert html.count("<workflow-stream") == 5
    assert html.count("<script") == 1
    assert html.startswith(SCRIPT)


def test_script_comes_again_on_the_next_page() -> None:
    template = Engine(
        libraries={"workflows": "django_workflows.templatetags.workflows"},
        app_dirs=True,
    ).from_string('{% load workflows %}{% workflow_stream "wrun_1" %}')
    context = Context()
    assert template.render(context) == template.render(context)


def test_script_carries_the_nonce_of_the_page() -> None:
    html = render('{% workflow_stream "wrun_1" %}', csp_nonce='a"b')
    assert Elements(html).named("script")["nonce"] == 'a"b'


def test_script_carries_the_nonce_of_the_request() -> None:
    request = RequestFactory().get("/")
    assert "nonce" not in render('{% workflow_stream "wrun_1" %}', request=request)
    request.csp_nonce = "abc"  # type: ignore[attr-defined]
    html = render('{% workflow_stream "wrun_1" %}', request=request)
    assert Elements(html).named("script")["nonce"] == "abc"


# --- the status -----------------------------------------------------------------------


@pytest.mark.parametrize("by_id", [False, True])
def test_status_is_rendered_first_and_then_live(
    workflows: WorkflowTester, by_id: bool
) -> None:
    run = workflows.start(greet, "World")
    html = render("{% workflow_status run %}", run=run.pk if by_id else run)
    attributes = Elements(html).named("workflow-status")
    assert html.startswith(SCRIPT)
    assert html.endswith(">pending</workflow-status>")
    assert attributes["status"] == "pending"
    assert attributes["run"] == run.pk
    assert attributes["websocket-url"] == f"/ws/workflows/runs/{run.pk}/"
    assert json.loads(attributes["labels"] or "")["timed_out"] == "timed out"


def test_status_of_an_ended_run(workflows: WorkflowTester) -> None:
    run = workflows.start(greet, "World")
    workflows.run_until_idle()
    run.refresh_from_db()
    html = render("{% workflow_status run %}", run=run)
    assert html.endswith(">completed</workflow-status>")


@pytest.mark.django_db
def test_status_of_a_run_that_is_not_there() -> None:
    html = render("{% workflow_status run %}", run="wrun_gone")
    assert Elements(html).named("workflow-status") == {"status": "unknown"}
    assert html.endswith(">not found</workflow-status>")
