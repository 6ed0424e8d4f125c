"""Runs on the project's own pages, live: `{% load workflows %}`.

    {% workflow_stream run %}
    {% workflow_status run %}

The elements and what pages can do with them are described in docs/how-to/live-pages.md.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from django import template
from django.forms.utils import flatatt
from django.template import Context
from django.templatetags.static import static
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.translation import gettext

from django_workflows.errors import WorkflowRunNotFoundError
from django_workflows.models import Run
from django_workflows.store.launching import get_run

register = template.Library()

FORMATS = ("text", "json")
TRANSPORTS = ("websocket", "sse")
_MARK = "django_workflows.script"


@register.inclusion_tag("django_workflows/stream.html", takes_context=True)
def workflow_stream(
    context: Context,
    run: Run | str,
    namespace: str = "",
    *,
    start: int = 0,
    format: str = "text",  # noqa: A002 - the attribute's name
    transport: str = "websocket",
    websocket_url: str | None = None,
    sse_url: str | None = None,
    **attributes: str,
) -> dict[str, Any]:
    """Show what `run`, a run or its id, writes under `namespace`, as it is written.

    `start` is the index of the first chunk shown; a negative one counts from the end.
    `format` is "text" or "json", `transport` "websocket" or "sse". The URLs are found
    by themselves, unless the project has moved the websocket's route or put the REST
    API into a URL namespace. Further arguments become attributes of the element, with
    hyphens for underscores. Raises `ValueError` for arguments that make no sense.
    """
    run_id = _id_of(run, "workflow_stream")
    _one_of(FORMATS, "format", format)
    return _script(context) | {
        "run_id": run_id,
        "namespace": namespace,
        # A text, which no language's separators come into.
        "start": str(int(start)),
        "format": format,
        "labels": json.dumps(
            {
                "progress": gettext("Progress"),
                "reconnecting": gettext("Connection lost. Trying again…"),
                "failed": gettext("No connection."),
            }
        ),
        **_connection(run_id, transport, websocket_url, sse_url),
        "attributes": _attributes(attributes),
    }


@register.inclusion_tag("django_workflows/status.html", takes_context=True)
def workflow_status(
    context: Context,
    run: Run | str,
    *,
    transport: str = "websocket",
    websocket_url: str | None = None,
    sse_url: str | None = None,
    **attributes: str,
) -> dict[str, Any]:
    """Show how `run`, a run or its id, stands now, and what becomes of it.

    A run that is not there, or not any more, is shown as "not found". The arguments
    are those of `workflow_stream`.
    """
    run_id = _id_of(run, "workflow_status")
    if not isinstance(run, Run):
        try:
            run = get_run(run_id)
        except WorkflowRunNotFoundError:
            return _script(context) | {
                "status": "unknown",
                "label": gettext("not found"),
                "attributes": _attributes(attributes),
            }
    return _script(context) | {
        "run_id": run_id,
        "status": run.status,
        "label": run.get_status_display(),
        "labels": json.dumps(dict(Run.Status.choices), default=str),
        **_connection(run_id, transport, websocket_url, sse_url),
        "attributes": _attributes(attributes),
    }


def _id_of(run: object, tag: str) -> str:
    if isinstance(run, Run):
        return run.pk
    if isinstance(run, str) and run:
        return run
    raise ValueError(f"{{% {tag} %}} takes a Run or the id of one, not {run!r}")


def _connection(
    run_id: str, transport: str, websocket_url: str | None, sse_url: str | None
) -> dict[str, Any]:
    _one_of(TRANSPORTS, "transport", transport)
    if transport == "sse":
        urls = {"sse-url": sse_url or _sse_url(run_id)}
    else:
        path = f"{get_script_prefix()}ws/workflows/runs/{quote(run_id, safe='')}/"
        urls = {"websocket-url": websocket_url or path}
    return {"transport": transport, "urls": urls}


def _sse_url(run_id: str) -> str:
    try:
        return reverse("workflows_api:run-stream", args=[run_id])
    except NoReverseMatch as error:
        raise ValueError(
            'transport="sse" needs the REST API: include("django_workflows.api.urls") '
            "in the project's URLs, or pass sse_url="
        ) from error


def _script(context: Context) -> dict[str, Any]:
    """Return what the script's element needs, the first time in a page; else nothing.

    The mark lies in the state of the outermost template: includes, parents and further
    tags share it, and it is gone when the page is rendered.
    """
    outermost = context.render_context.dicts[:2][-1]
    if _MARK in outermost:
        return {}
    outermost[_MARK] = "rendered"
    # As Django's context processor has it, or django-csp's middleware.
    request = context.get("request")
    nonce = context.get("csp_nonce", getattr(request, "csp_nonce", None))
    return {"script": static("django_workflows/workflows.js"), "nonce": nonce}


def _attributes(attributes: dict[str, str]) -> str:
    return flatatt(
        {name.replace("_", "-"): value for name, value in attributes.items()}
    )


def _one_of(allowed: tuple[str, ...], name: str, value: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
