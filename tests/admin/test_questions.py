"""What people who are no engineers ask about a run, answered by its page alone.

Why did it fail? What is it waiting for? Who cancelled it? How often was it retried?
Where did the time go?
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from django_workflows import (
    create_hook,
    get_run,
    resume_hook,
    sleep,
    start,
    start_child,
    step,
    workflow,
)
from django_workflows.admin.addresses import run_url
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, read, user_with

pytestmark = pytest.mark.django_db


@step(max_retries=2)
def charge(card: str) -> str:
    if card == "stolen":
        raise ValueError("the card is refused")
    return "paid"


@step(queue="warehouse")
def pack() -> str:
    return "packed"


@step
def greet() -> str:
    return "hello"


@workflow
async def order(card: str) -> str:
    return await charge(card)


@workflow
async def buying(card: str) -> None:
    await start_child(order, card)


@workflow
async def broken(numbers: list[int]) -> int:
    return numbers[10]


@workflow
async def approval() -> str:
    with create_hook(token="approval") as hook:
        await hook
    return "approved"


@workflow
async def holiday() -> None:
    await sleep("3d")


@workflow
async def household() -> None:
    await start_child(holiday)


@workflow
async def parcel() -> str:
    return await pack()


@workflow(max_concurrency=1)
async def one_by_one() -> None:
    await sleep("1h")


#: What the workflow below does today.
code: Callable[[], Any] = greet


@workflow
async def changing() -> None:
    await code()
    await sleep("1h")
    await code()


def when(time: datetime) -> str:
    """A time as the page writes it."""
    return f"{time:%F %T} UTC"


@pytest.fixture
def page_of(admin_client: Client) -> Callable[[Run], str]:
    """Return a function that reads the page of a run."""
    return lambda run: read(admin_client, run_url(run))


PageOf = Callable[[Run], str]


# -- why did it fail? -----------------------------------------------------------------


def test_a_step_that_failed_three_times(
    page_of: PageOf, workflows: WorkflowTester
) -> None:
    run = start(order, "stolen")
    workflows.advance("1h")
    page = page_of(run)
    assert (
        f"Why it failed Failed: ValueError: the card is refused (step {charge.name})"
    ) in page
    assert f"In step {charge.name}: {__file__}:" in page
    assert 'raise ValueError("the card is refused")' in page
    assert f"Tried again: step {charge.name} (3 attempts)." in page
    assert "Most of it was delays before steps were tried again: 3.0 s of 3.0 s" in page


def test_an_error_in_the_workflow_itself(
    page_of: PageOf, workflows: WorkflowTester
) -> None:
    run = start(broken, [1])
    workflows.run_until_idle()
    page = page_of(run)
    assert "Why it failed Failed: IndexError: list index out of range" in page
    assert f"In the workflow: {__file__}:" in page
    assert "return numbers[10]" in page
    assert "Nothing was tried again." in page


def test_a_child_that_failed(
    page_of: PageOf, admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(buying, "stolen")
    workflows.advance("1h")
    [child] = run.children.all()
    page = page_of(run)
    assert f"child run {child.pk} of {order.name} failed" in page
    assert f"A child failed: {order.name} {child.pk}" in page
    assert run_url(child) in admin_client.get(run_url(run)).content.decode()


def test_a_run_that_was_too_late(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = holiday.options(timeout="1h").start()
    deadline = workflows.now + timedelta(hours=1)
    workflows.advance("2h")
    page = page_of(run)
    assert "Summary timed out" in page
    assert f"Why it ended Not done by its deadline, {when(deadline)}." in page
    assert "1 h for the run" in page


def test_a_run_that_code_has_left_behind(
    page_of: PageOf, workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(changing)
    workflows.run_until_idle()
    monkeypatch.setattr(f"{__name__}.code", pack)
    workflows.crash()
    workflows.advance("1h")
    page = page_of(get_run(run.pk))
    assert "Summary running, blocked for " in page
    assert "Blocked: waiting for other code, and tried again at" in page
    assert "Why it is blocked NonDeterminismError: " in page
    assert f"{changing.name} no longer follows its log" in page
    assert "In the workflow: " in page
    assert "await code()" in page
    assert "What to do: deploy code with which it can go on." in page
    assert "Resume" in page
    workflows.advance("9h")
    assert "Most of it was being blocked: 9 h of 10 h." in page_of(get_run(run.pk))


def test_a_run_that_is_well_has_nothing_to_explain(
    page_of: PageOf, workflows: WorkflowTester
) -> None:
    run = start(order, "good")
    workflows.run_until_idle()
    page = page_of(run)
    assert "Summary completed" in page
    assert 'Output "paid"' in page
    assert "Why it" not in page


# -- what is it waiting for? ----------------------------------------------------------


def test_a_payload(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = start(approval)
    workflows.run_until_idle()
    [hook] = run.hooks.all()
    assert f"Waiting for a payload for hook {hook.pk} ." in page_of(run)
    resume_hook("approval", None)
    workflows.run_until_idle()
    assert "Waiting for" not in page_of(run)


def test_a_timer(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = start(holiday)
    workflows.run_until_idle()
    until = when(workflows.now + timedelta(days=3))
    assert f"Waiting for its sleep to end at {until}." in page_of(run)


def test_a_child(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = start(household)
    workflows.run_until_idle()
    [child] = run.children.all()
    said = f"Waiting for child {holiday.name}, run {child.pk} (running)."
    assert said in page_of(run)


def test_another_attempt(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = start(order, "stolen")
    workflows.run_until_idle()
    due = when(workflows.now + timedelta(seconds=1))
    said = f"Waiting for step {charge.name}, whose attempt 2 is due at {due}."
    assert said in page_of(run)


def test_its_start(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = holiday.options(delay="2d").start()
    workflows.run_until_idle()
    begins = when(workflows.now + timedelta(days=2))
    page = page_of(run)
    assert f"Waiting for its start at {begins}." in page
    assert "not yet, after" in page


def test_a_worker_that_nobody_has_started(
    page_of: PageOf, workflows: WorkflowTester
) -> None:
    workflows.queues = ("default",)
    run = holiday.options(queue="nowhere").start()
    workflows.run_until_idle()
    assert (
        "Waiting for a worker of queue nowhere, which none serves: start one with "
        "manage.py workflows worker --queue nowhere."
    ) in page_of(run)
    workflows.advance("1h")
    assert "Most of it was waiting to begin: 1 h of 1 h." in page_of(run)


def test_a_worker_for_a_step(page_of: PageOf, workflows: WorkflowTester) -> None:
    workflows.queues = ("default",)
    run = start(parcel)
    workflows.advance("2h")
    page = page_of(run)
    assert (
        f"Waiting for step {pack.name} to be taken by a worker of queue warehouse, "
        "which none serves: start one with manage.py workflows worker --queue "
        "warehouse."
    ) in page
    assert "Most of it was steps waiting for a worker: 2 h of 2 h." in page


def test_a_place_under_a_limit(page_of: PageOf, workflows: WorkflowTester) -> None:
    start(one_by_one)
    workflows.run_until_idle()
    since = when(workflows.now)
    run = start(one_by_one)
    workflows.run_until_idle()
    said = f"Waiting since {since} for a place under its limits."
    assert said in page_of(get_run(run.pk))


def test_somebody_who_resumes_it(workflows: WorkflowTester) -> None:
    run = start(holiday)
    workflows.run_until_idle()
    client = client_of(user_with("view_run", "pause_run", name="paul"))
    client.post(run_url(run, "pause"), {"post": "yes"})
    workflows.run_until_idle()
    page = read(client, run_url(run))
    assert "Waiting to be resumed." in page
    assert "paul Paused" in page


# -- who cancelled it? ----------------------------------------------------------------


def test_somebody_in_the_admin(workflows: WorkflowTester) -> None:
    run = start(holiday)
    workflows.run_until_idle()
    client = client_of(user_with("view_run", "cancel_run", name="carla"))
    because = {"post": "yes", "reason": "the customer called"}
    client.post(run_url(run, "cancel"), because)
    workflows.run_until_idle()
    page = read(client, run_url(run))
    assert "Why it ended Cancelled: the customer called" in page
    assert "Cancelled by carla: the customer called" in page
    assert "carla Cancelled: the customer called" in page


def test_somebody_who_gave_no_reason(workflows: WorkflowTester) -> None:
    run = start(holiday)
    workflows.run_until_idle()
    client = client_of(user_with("view_run", "terminate_run", name="theo"))
    client.post(run_url(run, "terminate"), {"post": "yes"})
    page = read(client, run_url(run))
    assert "Terminated by theo, no reason given." in page


def test_somebody_over_the_api(
    page_of: PageOf, admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(holiday)
    workflows.run_until_idle()
    because = {"reason": "fraud suspected"}
    url = f"/workflows/api/runs/{run.pk}/cancel/"
    assert admin_client.post(url, because).status_code == 200
    workflows.run_until_idle()
    page = page_of(run)
    assert "Cancelled by admin over the API: fraud suspected" in page
    assert "admin over the API Cancelled: fraud suspected" in page
    assert "API, command line or code" not in page


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the user of that name sit at the command line of a machine."""
    monkeypatch.setenv("LOGNAME", "deploy")
    monkeypatch.setattr("socket.gethostname", lambda: "web-1")


@pytest.mark.usefixtures("deploy")
@pytest.mark.parametrize(
    ("verb", "done"), [("cancel", "Cancelled"), ("terminate", "Terminated")]
)
def test_somebody_on_the_command_line(
    verb: str, done: str, page_of: PageOf, workflows: WorkflowTester
) -> None:
    run = start(holiday)
    workflows.run_until_idle()
    call_command("workflows", verb, run.pk, "--reason", "night shift")
    workflows.run_until_idle()
    page = page_of(run)
    assert f"{done} by deploy@web-1 on the command line: night shift" in page
    assert f"deploy@web-1 on the command line {done}: night shift" in page


@pytest.mark.usefixtures("deploy")
def test_somebody_on_the_command_line_before_it_began(page_of: PageOf) -> None:
    run = holiday.options(delay="1h").start()
    for verb in ("pause", "resume", "cancel"):
        call_command("workflows", verb, run.pk)
    page = page_of(run)
    said = "Cancelled by deploy@web-1 on the command line, no reason given."
    assert said in page
    for done in ("Paused", "Resumed", "Cancelled"):
        assert f"deploy@web-1 on the command line {done}" in page


@pytest.mark.usefixtures("deploy")
def test_somebody_on_the_command_line_did_other_things(
    page_of: PageOf, workflows: WorkflowTester
) -> None:
    woken, stopped = start(holiday), start(holiday)
    deeds = [
        (woken, "pause", "Paused"),
        (woken, "resume", "Resumed"),
        (woken, "wake", "Woken"),
        (stopped, "cancel", "Cancelled"),
        (stopped, "retry", "Retried"),
    ]
    for run, verb, _done in deeds:
        workflows.run_until_idle()
        call_command("workflows", verb, run.pk)
    workflows.run_until_idle()
    for run, _verb, done in deeds:
        assert f"deploy@web-1 on the command line {done}" in page_of(run)


def test_nobody_who_is_known(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = start(holiday)
    workflows.run_until_idle()
    run.terminate("a step of ours")
    said = "Terminated over the API, from the command line or by code: a step of ours"
    assert said in page_of(run)


def test_its_parent(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = start(household)
    workflows.run_until_idle()
    run.terminate()
    workflows.run_until_idle()
    [child] = run.children.all()
    said = f"Cancelled by its parent: its parent {run.pk} has closed"
    assert said in page_of(child)


def test_several_people_one_after_the_other(workflows: WorkflowTester) -> None:
    run = start(holiday)
    workflows.run_until_idle()
    everything = ("view_run", "cancel_run", "retry_run")
    first, second = (
        client_of(user_with(*everything, name=name)) for name in ("finn", "sara")
    )
    first.post(run_url(run, "cancel"), {"post": "yes", "reason": "too slow"})
    workflows.run_until_idle()
    second.post(run_url(run, "retry"), {"post": "yes"})
    workflows.run_until_idle()
    second.post(run_url(run, "cancel"), {"post": "yes", "reason": "no longer needed"})
    workflows.run_until_idle()
    page = read(first, run_url(run))
    assert "Cancelled by sara: no longer needed" in page
    deeds = ["sara Cancelled: no longer needed", "sara Retried", "finn Cancelled: too"]
    places = [page.index(deed) for deed in deeds]
    assert places == sorted(places)
    assert "API, command line or code" not in page


# -- how often was it retried? --------------------------------------------------------


def test_a_run_that_was_retried_and_its_steps(workflows: WorkflowTester) -> None:
    run = start(order, "stolen")
    workflows.advance("1h")
    client = client_of(user_with("view_run", "retry_run", name="rita"))
    client.post(run_url(run, "retry"), {"post": "yes"})
    workflows.advance("1h")
    page = read(client, run_url(run))
    said = f"Tried again: the run 1 time; step {charge.name} (6 attempts)."
    assert said in page
    assert "rita Retried" in page


# -- where did the time go? -----------------------------------------------------------


def test_time_in_a_step_a_hook_and_a_timer(
    page_of: PageOf, workflows: WorkflowTester
) -> None:
    run = start(approval)
    workflows.advance("90m")
    said = "Most of it was waiting for payloads of hooks: 1 h 30 min of 1 h 30 min."
    assert said in page_of(run)
    run = start(household)
    workflows.advance("1d")
    assert "Most of it was waiting for child runs: 1 d of 1 d." in page_of(run)
    [child] = run.children.all()
    assert "Most of it was sleeping and timers: 1 d of 1 d." in page_of(child)


def test_time_in_a_pause(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = start(holiday)
    workflows.advance("1d")
    run.pause()
    workflows.advance("5d")
    run.resume()
    workflows.run_until_idle()
    page = page_of(run)
    assert "Most of it was being paused: 5 d of 6 d." in page
    assert "sleeping and timers 1 d 17" in page


def test_time_before_a_retry(page_of: PageOf, workflows: WorkflowTester) -> None:
    run = start(order, "stolen")
    workflows.advance("1d")
    run.retry()
    workflows.advance("1h")
    page = page_of(run)
    assert "Most of it was what retries of the run made void" in page


def test_the_reader_needs_no_more_than_to_see_runs(workflows: WorkflowTester) -> None:
    run = start(order, "stolen")
    workflows.advance("1h")
    client = client_of(user_with("view_run"))
    page = read(client, run_url(run))
    assert f"Why it failed Failed: ValueError (step {charge.name})" in page
    assert "You may not see payloads." in page
    assert "refused" not in page
