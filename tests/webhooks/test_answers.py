"""Answers that steps give to senders who wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings

from django_workflows import (
    WebhookRequest,
    WebhookResponse,
    WorkflowRunFailedError,
    create_webhook,
    get_step_metadata,
    resume_webhook,
    start,
    step,
    workflow,
)
from django_workflows.models import Event, Hook, WebhookDelivery
from django_workflows.store import deliveries
from django_workflows.testing import WorkflowTester
from tests.cluster.harness import DEADLINE, until
from tests.webhooks.workflows import agreeting, greeting, receiving

URL = "/.well-known/workflow/v1/webhook/w"


def send(client: Client, body: bytes = b"world") -> tuple[int, bytes]:
    answer = client.post(URL, body, content_type="application/json")
    return answer.status_code, answer.content


def test_step_answers(workflows: WorkflowTester, client: Client) -> None:
    run = start(greeting)
    workflows.run_until_idle()
    answer = client.post(URL, b"world", content_type="text/plain")
    assert (answer.status_code, answer.content) == (201, b"Hello, world!")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert run.result() == "answered"
    workflows.assert_replays(run)


def test_asynchronous_step_answers(workflows: WorkflowTester, client: Client) -> None:
    run = start(agreeting)
    workflows.run_until_idle()
    assert send(client, b'"you"') == (200, b'{"hello": "you"}')
    assert run.result() == "answered"


def test_answer_after_a_sleep(workflows: WorkflowTester, client: Client) -> None:
    start(greeting, delay="29s")
    workflows.run_until_idle()
    begun = workflows.now
    assert send(client) == (201, b"Hello, world!")
    assert (workflows.now - begun).total_seconds() == 29


def test_answer_after_the_time_out(workflows: WorkflowTester, client: Client) -> None:
    run = start(greeting, delay="31s")
    workflows.run_until_idle()
    begun = workflows.now
    assert send(client) == (504, b"")
    assert (workflows.now - begun).total_seconds() == 30
    workflows.advance("1s")
    with pytest.raises(WorkflowRunFailedError) as failed:
        run.result()
    assert isinstance(failed.value.cause, RuntimeError)
    assert "stopped waiting after 30 s" in str(failed.value.cause)
    assert WebhookDelivery.objects.get().sealed_response is None


@override_settings(WORKFLOWS={"WEBHOOK_RESPONSE_TIMEOUT": "2m"})
def test_time_out_is_a_setting(workflows: WorkflowTester, client: Client) -> None:
    start(greeting, delay="119s")
    workflows.run_until_idle()
    assert send(client) == (201, b"Hello, world!")


def test_run_that_ends_without_an_answer(
    workflows: WorkflowTester, client: Client
) -> None:
    run = start(receiving, respond_with="manual")
    workflows.run_until_idle()
    assert send(client) == (504, b"")
    assert run.result().body == b"world"


def test_paused_run_does_not_answer(workflows: WorkflowTester, client: Client) -> None:
    run = start(greeting)
    workflows.run_until_idle()
    run.pause()
    workflows.run_until_idle()
    assert send(client) == (504, b"")
    assert Event.objects.filter(run=run, type="hook_received").count() == 1


# -- who may answer -------------------------------------------------------------------


@step(max_retries=0)
def respond(request: WebhookRequest, *bodies: str) -> list[str]:
    """Answers with each of the bodies; returns the errors."""
    errors = []
    for body in bodies:
        try:
            request.respond_with(WebhookResponse.text(body))
        except RuntimeError as error:
            errors.append(str(error))
    return errors


@workflow
async def responding_twice() -> Any:
    request = await create_webhook("w", respond_with="manual")
    return await respond(request, "first", "second") + await respond(request, "third")


def test_first_answer_wins(workflows: WorkflowTester, client: Client) -> None:
    run = start(responding_twice)
    workflows.run_until_idle()
    assert send(client) == (200, b"first")
    assert run.result() == ["this request has been answered before"] * 2


@workflow
async def responding_anyway(token: str) -> Any:
    return await respond(await create_webhook(token), "text")


def test_answer_nobody_waits_for(workflows: WorkflowTester, client: Client) -> None:
    run = start(responding_anyway, "w")
    workflows.run_until_idle()
    assert send(client) == (202, b"")
    workflows.run_until_idle()
    assert "respond_with='manual'" in run.result()[0]


def test_answer_outside_of_a_step(workflows: WorkflowTester, client: Client) -> None:
    run = start(receiving, respond_with="manual")
    workflows.run_until_idle()
    send(client)
    with pytest.raises(RuntimeError, match="inside a step"):
        run.result().respond_with(WebhookResponse())


@pytest.mark.parametrize("wrong", ["text", b"bytes", None, 204])
def test_answer_that_is_none(wrong: Any) -> None:
    with pytest.raises(TypeError, match="WebhookResponse"):
        WebhookRequest().respond_with(wrong)


@step(max_retries=1)
def respond_and_fail_once(request: WebhookRequest) -> None:
    attempt = get_step_metadata().attempt
    request.respond_with(WebhookResponse.text(f"attempt {attempt}"))
    if attempt == 1:
        raise OSError("after the answer")
    with pytest.raises(RuntimeError, match="answered before"):
        request.respond_with(WebhookResponse())


@workflow
async def retrying() -> str:
    request = await create_webhook("w", respond_with="manual")
    await respond_and_fail_once(request)
    return "retried"


def test_step_that_is_retried_after_its_answer(
    workflows: WorkflowTester, client: Client
) -> None:
    """The second attempt does what the first one did: its answer is not a second one,
    but the first one stands."""
    run = start(retrying)
    workflows.run_until_idle()
    assert send(client) == (200, b"attempt 1")
    workflows.advance("1m")
    assert run.result() == "retried"


@step(atomic=True, max_retries=1)
def respond_atomically(request: WebhookRequest) -> None:
    attempt = get_step_metadata().attempt
    request.respond_with(WebhookResponse.text(f"attempt {attempt}"))
    if attempt == 1:
        raise OSError("rolled back with the answer")


@workflow
async def answering_atomically() -> None:
    await respond_atomically(await create_webhook("w", respond_with="manual"))


def test_answer_of_an_atomic_step_is_part_of_its_transaction(
    workflows: WorkflowTester, client: Client
) -> None:
    start(answering_atomically)
    workflows.run_until_idle()
    assert send(client) == (200, b"attempt 2")


@workflow
async def passing_on() -> Any:
    request = await create_webhook("w", respond_with="manual")
    return await start_answering(request)


@step
def start_answering(request: WebhookRequest) -> str:
    return start(answering_for_another, request).pk


@workflow
async def answering_for_another(request: WebhookRequest) -> None:
    await respond(request, "by another run")


def test_another_run_answers(workflows: WorkflowTester, client: Client) -> None:
    start(passing_on)
    workflows.run_until_idle()
    assert send(client) == (200, b"by another run")


# -- waiting in a test, or a transaction ----------------------------------------------


def test_resume_webhook_from_a_view(workflows: WorkflowTester) -> None:
    start(greeting)
    workflows.run_until_idle()

    def view(request: HttpRequest) -> HttpResponse:
        return resume_webhook("w", request)

    request = RequestFactory().post("/mine?q=1", b"view", content_type="text/plain")
    assert request.body == b"view"
    answer = view(request)
    assert (answer.status_code, answer.content) == (201, b"Hello, view!")
    payload = Event.objects.get(type="hook_received").data["payload"]
    assert payload.url == "http://testserver/mine?q=1"


@pytest.mark.django_db
def test_wait_that_could_never_end() -> None:

    with pytest.raises(RuntimeError, match="atomic"), transaction.atomic():
        deliveries.deliver(Hook(), WebhookRequest(), None, waits=True)


@pytest.mark.usefixtures("sessions_end")
@pytest.mark.django_db(transaction=True)
def test_request_of_another_thread_waits_for_the_kit(workflows: WorkflowTester) -> None:
    run = start(greeting)
    workflows.run_until_idle()

    def post() -> tuple[int, bytes]:
        try:
            return send(Client())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post)
        until(lambda: Event.objects.filter(type="hook_received").exists(), "a request")
        workflows.run_until_idle()
        assert answer.result(DEADLINE) == (201, b"Hello, world!")
    assert run.result() == "answered"


@step(max_retries=0)
def post_to_w() -> None:
    resume_webhook("w", RequestFactory().post("/", b"{}", content_type="a/b"))


@workflow
async def posting() -> None:
    await post_to_w()


def test_step_that_waits_for_another_run_in_the_kit(workflows: WorkflowTester) -> None:
    start(greeting)
    with pytest.raises(WorkflowRunFailedError, match="mock the step"):
        workflows.run(posting)
