"""`fetch` in workflows: recorded, retried, and given up where no retry helps."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from django_workflows import (
    FatalError,
    FetchResponse,
    FetchStatusError,
    PayloadTooLargeError,
    RetryPolicy,
    StepFailedError,
    WorkflowRunFailedError,
    fetch,
    get_step_metadata,
    start,
    step,
    workflow,
)
from django_workflows.conf import conf
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.http.server import Answer, Asked, Handler, Server

pytestmark = pytest.mark.django_db


@workflow
async def title_of(url: str) -> tuple[int, str]:
    post = (await fetch(url)).json()
    return post["id"], post["title"]


@workflow
async def fetches(url: str) -> FetchResponse:
    return await fetch(url)


@workflow
async def posts(url: str, bodies: list[Any]) -> list[int]:
    answers = [fetch(url, "POST", {"X-Tag": "a"}, json=body) for body in bodies]
    return [answer.status for answer in await asyncio.gather(*answers)]


@workflow
async def patient(url: str) -> int:
    policy = RetryPolicy(initial_interval="1h", maximum_attempts=2)
    return (await fetch.options(retry=policy)(url)).status


@workflow
async def told_status(url: str) -> tuple[int, str, int]:
    try:
        await fetch.options(max_retries=1)(url)
    except FetchStatusError as error:
        cause = error.__cause__
        attempts = cause.attempts if isinstance(cause, StepFailedError) else 0
        return error.status, error.excerpt, attempts
    raise AssertionError("it was answered")


@step(max_retries=1)
async def ask(url: str) -> tuple[int, str]:
    response = await fetch(url)
    return response.status, get_step_metadata().step_name


@workflow
async def asks(url: str) -> tuple[int, str]:
    return await ask(url)


def in_turn(*answers: Answer) -> Handler:
    left = list(answers)
    return lambda asked: left.pop(0)


def types_of(run: Run) -> list[str]:
    return [event.type for event in run.events.order_by("seq")]


def test_answer_is_recorded(workflows: WorkflowTester, server: Server) -> None:
    server.handler = lambda asked: Answer(body=b'{"id": 1, "title": "Hello"}')
    run = start(title_of, server.url("/posts/1"))
    workflows.run_until_idle()
    workflows.crash()
    assert run.result() == (1, "Hello")
    workflows.assert_replays(run)
    assert len(server.asked) == 1
    assert types_of(run).count("step_completed") == 1


def test_response_is_returned_by_a_run(
    workflows: WorkflowTester, server: Server
) -> None:
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    server.handler = lambda asked: Answer(404, cookies, b"\x00none")
    response = workflows.run(fetches, server.url())
    assert type(response) is FetchResponse
    assert (response.status, response.body) == (404, b"\x00none")
    assert response.headers.getlist("set-cookie") == ["a=1", "b=2"]


def test_many_at_once(workflows: WorkflowTester, server: Server) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(200 + int(asked.body))

    server.handler = answer
    assert workflows.run(posts, server.url(), [1, 2, 3]) == [201, 202, 203]
    assert {asked.headers["X-Tag"] for asked in server.asked} == {"a"}


@pytest.mark.parametrize("status", [429, 503])
def test_server_decides_when_it_is_asked_again(
    workflows: WorkflowTester, server: Server, status: int
) -> None:
    server.handler = in_turn(Answer(status, [("Retry-After", "600")]), Answer(200))
    run = start(fetches, server.url())
    workflows.run_until_idle()
    workflows.advance("599s")
    assert len(server.asked) == 1
    workflows.advance("1s")
    assert len(server.asked) == 2
    assert run.result().status == 200


def test_server_names_the_time_at_which_it_is_asked_again(
    workflows: WorkflowTester, server: Server
) -> None:
    """The test server's `Date` is real: the date is one of its own clock."""

    def busy(asked: Asked) -> Answer:
        if len(server.asked) > 1:
            return Answer(200)
        until = datetime.now(UTC) + timedelta(minutes=30)
        return Answer(429, [("Retry-After", format_datetime(until, usegmt=True))])

    server.handler = busy
    run = start(fetches, server.url())
    workflows.run_until_idle()
    workflows.advance("29m")
    assert len(server.asked) == 1
    workflows.advance("61s")
    assert run.result().status == 200


def test_server_that_asks_for_a_year_is_asked_after_a_day(
    workflows: WorkflowTester, server: Server
) -> None:
    server.handler = in_turn(Answer(429, [("Retry-After", "31536000")]), Answer(200))
    run = start(fetches, server.url())
    workflows.advance("86399s")
    assert len(server.asked) == 1
    workflows.advance("1s")
    assert run.result().status == 200


def test_policy_decides_where_the_server_does_not(
    workflows: WorkflowTester, server: Server
) -> None:
    server.handler = in_turn(Answer(500), Answer(404))
    run = start(patient, server.url())
    workflows.advance("3599s")
    assert len(server.asked) == 1
    workflows.advance("1s")
    assert run.result() == 404


def test_last_status_is_raised_in_the_workflow(
    workflows: WorkflowTester, server: Server
) -> None:
    server.handler = lambda asked: Answer(502, [], b"no upstream")
    assert workflows.run(told_status, server.url()) == (502, "no upstream", 2)
    assert len(server.asked) == 2


def test_connection_errors_are_retried(
    workflows: WorkflowTester, server: Server
) -> None:
    # Fewer bytes than promised: the connection breaks.
    broken = Answer(200, [("Connection", "close")], b"x", 100)
    server.handler = in_turn(broken, broken, Answer(204))
    assert workflows.run(fetches, server.url()).status == 204
    assert len(server.asked) == 3


def failure_of(workflows: WorkflowTester, url: str) -> tuple[BaseException, int]:
    """Why a run that fetches this URL fails, and after how many attempts."""
    with pytest.raises(WorkflowRunFailedError) as failed:
        workflows.run(fetches, url)
    error = failed.value.cause
    assert error is not None
    assert isinstance(error.__cause__, StepFailedError)
    return error, error.__cause__.attempts


def test_refused_address_is_not_tried_again(workflows: WorkflowTester) -> None:
    error, attempts = failure_of(workflows, "http://169.254.169.254/latest/meta-data")
    assert isinstance(error, FatalError)
    assert "link-local" in str(error)
    assert attempts == 1


@pytest.mark.parametrize("share", [1.1, 0.9])
def test_body_too_large_to_be_stored_is_not_tried_again(
    workflows: WorkflowTester, server: Server, share: float
) -> None:
    """Also one that fits by itself, and as a recorded value does not."""
    body = b"\xff" * int(share * conf.MAX_PAYLOAD_BYTES)
    server.handler = lambda asked: Answer(200, [], body)
    error, attempts = failure_of(workflows, server.url())
    assert isinstance(error, PayloadTooLargeError)
    assert attempts == 1
    assert len(server.asked) == 1


def test_in_a_step_it_is_a_plain_coroutine(
    workflows: WorkflowTester, server: Server
) -> None:
    server.handler = in_turn(Answer(429, [("Retry-After", "600")]), Answer(201))
    run = start(asks, server.url())
    workflows.advance("599s")
    assert len(server.asked) == 1
    workflows.advance("1s")
    assert run.result() == (201, ask.name)
    # One step: the request is a part of it.
    assert types_of(run).count("step_completed") == 1


def test_workers_know_the_step_without_importing_anything() -> None:
    """In a process that has done no more than `django.setup()`; nor is httpx loaded."""
    code = (
        "import sys, django; django.setup(); "
        "from django_workflows.replay.registry import registry; "
        "assert registry.find_step('django_workflows.fetch'); "
        "assert 'httpx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
