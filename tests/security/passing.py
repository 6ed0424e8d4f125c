"""Sends marked values through everything there is for values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from django_workflows import (
    WorkflowRunFailedError,
    create_schedule,
    get_run,
    resume_hook,
    start,
)
from django_workflows.core.webhooks import PATH
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.security.markers import mark
from tests.security.workflows import (
    Fragile,
    everything,
    fails,
    hands_on,
    receives,
    takes_fragile,
    waits_elsewhere,
)

PAYLOADS = (
    "run_input",
    "run_option",
    "run_output",
    "run_error",
    "error_argument",
    "step_argument",
    "step_option",
    "step_result",
    "step_error",
    "cause_of_error",
    "attribute_of_error",
    "retried_error",
    "heartbeat_details",
    "argument_of_retried",
    "argument_of_failing",
    "argument_of_starting",
    "argument_on_another_queue",
    "input_of_started_run",
    "child_input",
    "child_output",
    "child_error",
    "input_of_failing_child",
    "compensation_argument",
    "compensation_error",
    "hook_metadata",
    "hook_payload",
    "metadata_of_carried",
    "unread_payload",
    "late_payload",
    "carried_payload",
    "argument_of_successor",
    "unreadable_payload",
    "chunk",
    "chunk_of_bytes",
    "request_body",
    "request_header",
    "request_query",
    "answer",
    "header_of_answer",
    "static_answer",
    "header_of_static_answer",
    "webhook_metadata",
    "input_of_schedule",
)
"""The names of the marked values that nobody else is to read."""
TOKENS = ("first_token", "carried_token", "static_token", "manual_token")
"""Those of the tokens, which encryption leaves readable."""


def pass_everything(workflows: WorkflowTester, look: Callable[[], None]) -> None:
    """Send every marked value through, and look after each part of the way."""
    workflows.queues = ("default",)
    run = start(everything, mark("run_input"), option=[mark("run_option")])
    start(waits_elsewhere)
    failing = start(fails, mark("error_argument"))
    handing_on = start(hands_on, 1, 0)
    look()
    workflows.run_until_idle()
    look()
    workflows.advance("2m")
    look()
    resume_hook(mark("first_token"), mark("hook_payload"))
    for payload in ("carried_payload", "unread_payload"):
        resume_hook(mark("carried_token"), mark(payload))
    look()
    workflows.advance("1h")
    handing_on.refresh_from_db()
    assert handing_on.status == "continued_as_new"
    look()
    last = Run.objects.get(continued_from=handing_on)
    last.pause()
    workflows.advance("2h")
    resume_hook(mark("carried_token"), mark("late_payload"))
    look()
    last.resume()
    workflows.run_until_idle()
    look()
    assert last.result() == [mark("carried_payload"), mark("unread_payload")]
    assert run.result() == mark("run_output")
    with pytest.raises(WorkflowRunFailedError) as caught:
        failing.result()
    assert caught.value.cause.detail == mark("error_argument")  # type: ignore[union-attr]
    failing.fork(from_step=2)
    run.replay()
    _block(workflows)
    look()
    receiving = start(receives)
    workflows.run_until_idle()
    look()
    assert _send("static_token") == mark("static_answer")
    look()
    assert _send("manual_token") == mark("answer")
    look()
    chunks = [{"text": mark("chunk")}, mark("chunk_of_bytes").encode()]
    assert list(receiving.stream("progress")) == chunks
    create_schedule("failing", fails, args=(mark("input_of_schedule"),), interval="1h")
    look()
    workflows.advance("1h")
    look()


def _send(token: str) -> str:
    """Send a request to a webhook; returns what is answered."""
    answer = Client().post(
        f"/{PATH}{mark(token)}?q={mark('request_query')}",
        mark("request_body"),
        "text/plain",
        headers={"X-Request": mark("request_header")},
    )
    return answer.text


def _block(workflows: WorkflowTester) -> None:
    """Block a run by a payload that today's code cannot read."""
    run = start(takes_fragile, Fragile(mark("unreadable_payload")))
    Fragile.readable = False
    try:
        workflows.run_until_idle()
    finally:
        Fragile.readable = True
    assert "Fragile.__workflow_decode__ failed" in get_run(run.pk).blocked_reason
