"""The buttons of a run's page, and the pages behind them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from django_workflows import create_hook, get_run, sleep, start, step, workflow
from django_workflows.admin.addresses import run_url
from django_workflows.admin.permissions import VERBS
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, read, text_of, user_with

pytestmark = pytest.mark.django_db


@step
def double(number: int) -> int:
    return 2 * number


@workflow
async def sleeping(number: int) -> int:
    result = await double(number)
    await sleep("1d")
    if result < 0:
        raise ValueError("too little")
    return result


@workflow
async def asked() -> None:
    await create_hook()


def brought_to(verb: str, workflows: WorkflowTester) -> Run:
    """A run to which this can be done."""
    run = start(sleeping, -1 if verb == "retry" else 1)
    workflows.run_until_idle()
    if verb == "retry":
        workflows.advance("2d")
    if verb == "resume":
        run.pause()
        workflows.run_until_idle()
    return get_run(run.pk)


#: What is true of the run afterwards.
STATUS = {
    "cancel": "cancelled",
    "terminate": "terminated",
    "pause": "paused",
    "resume": "running",
    "retry": "failed",
    "replay": "running",
    "wake": "completed",
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_button_asks_and_then_does_it(verb: str, workflows: WorkflowTester) -> None:
    run = brought_to(verb, workflows)
    client = client_of(user_with("view_run", f"{verb}_run"))
    page = client.get(run_url(run)).content.decode()
    assert f'action="{run_url(run, verb)}"' in page
    before = (run.status, run.last_seq, Run.objects.count())
    for ask in (client.get, client.post):
        question = ask(run_url(run, verb))
        assert question.status_code == 200
        assert f'value="{verb.capitalize()} this run"' in question.content.decode()
    run = get_run(run.pk)
    assert (run.status, run.last_seq, Run.objects.count()) == before
    assert not LogEntry.objects.exists()
    answer = client.post(run_url(run, verb), {"post": "yes"})
    new = Run.objects.latest("pk") if verb == "replay" else run
    assert answer.headers["Location"] == run_url(new)
    workflows.run_until_idle()
    after = get_run(run.pk)
    assert after.status == STATUS[verb]
    assert after.attempt == (2 if verb == "retry" else 1)
    assert LogEntry.objects.filter(object_id=run.pk, user__username="anna").exists()


@pytest.mark.parametrize("verb", [*VERBS, "fork"])
def test_without_the_permission_there_is_no_button_and_no_way(
    verb: str, workflows: WorkflowTester
) -> None:
    run = brought_to(verb, workflows)
    needed = "replay_run" if verb == "fork" else f"{verb}_run"
    others = {f"{each}_run" for each in VERBS} - {needed}
    client = client_of(user_with("view_run", *others))
    assert run_url(run, verb) not in client.get(run_url(run)).content.decode()
    assert client.get(run_url(run, verb)).status_code == 403
    assert client.post(run_url(run, verb)).status_code == 403
    assert client.post(run_url(run, verb), {"post": "yes"}).status_code == 403
    may_not_look = client_of(user_with(needed, name="blind"))
    assert may_not_look.post(run_url(run, verb), {"post": "yes"}).status_code == 403
    assert get_run(run.pk).status == run.status
    assert not LogEntry.objects.exists()
    assert Run.objects.count() == 1


def test_only_what_is_possible_is_offered(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(sleeping, 1)
    workflows.run(sleeping, 1)
    page = admin_client.get(run_url(get_run(run.pk))).content.decode()
    offered = [verb for verb in VERBS if run_url(run, verb) in page]
    assert offered == ["replay"]


def test_who_does_not_sleep_is_not_to_be_woken(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    asleep, asking = start(sleeping, 1), start(asked)
    workflows.run_until_idle()
    assert run_url(asleep, "wake") in admin_client.get(run_url(asleep)).content.decode()
    page = admin_client.get(run_url(asking)).content.decode()
    assert run_url(asking, "pause") in page
    assert run_url(asking, "wake") not in page


def test_what_has_become_impossible_is_refused_with_a_message(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(sleeping, 1)
    workflows.run(sleeping, 1)
    for data in ({}, {"post": "yes"}):
        answer = admin_client.post(run_url(run, "pause"), data, follow=True)
        assert answer.redirect_chain == [(run_url(run), 302)]
        assert "is completed" in text_of(answer.content.decode())
    assert get_run(run.pk).status == "completed"
    assert not LogEntry.objects.exists()


def test_the_reason_is_kept_and_shown(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = brought_to("cancel", workflows)
    reason = "ordered <twice>"
    done = {"post": "yes", "reason": reason}
    admin_client.post(run_url(run, "cancel"), done)
    workflows.run_until_idle()
    assert get_run(run.pk).status == "cancelled"
    assert reason in read(admin_client, run_url(run))


def test_a_reason_that_is_too_long_is_asked_for_again(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = brought_to("cancel", workflows)
    too_long = {"post": "yes", "reason": "x" * 1001}
    answer = admin_client.post(run_url(run, "cancel"), too_long)
    assert "too long" in text_of(answer.content.decode())
    assert get_run(run.pk).status == "running"


def test_a_foreign_form_is_refused(workflows: WorkflowTester) -> None:
    run = brought_to("terminate", workflows)
    client = Client(enforce_csrf_checks=True)
    client.force_login(user_with("view_run", "terminate_run"))
    assert client.post(run_url(run, "terminate"), {"post": "yes"}).status_code == 403
    assert client.put(run_url(run, "terminate")).status_code in (403, 405)
    assert get_run(run.pk).status == "running"


@pytest.mark.parametrize("page", ["change", "fork", *VERBS])
def test_an_unknown_run_is_answered_as_django_does(
    page: str, admin_client: Client
) -> None:
    url = run_url(Run(pk="wrun_unknown"), page)
    answer: Any = admin_client.get(url, follow=True)
    assert answer.redirect_chain == [(reverse("admin:index"), 302)]
    assert "doesn’t exist" in answer.content.decode()


def test_a_run_is_forked_from_a_step(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = brought_to("cancel", workflows)
    question = read(admin_client, run_url(run, "fork"))
    assert "double (completed)" in question
    [called] = run.steps.all()
    done = {"post": "yes", "step": called.pk}
    answer = admin_client.post(run_url(run, "fork"), done)
    fork = Run.objects.latest("pk")
    assert answer.headers["Location"] == run_url(fork)
    workflows.advance("2d")
    assert fork.result() == 2
    messages = LogEntry.objects.order_by("pk").values_list(
        "object_id", "change_message"
    )
    assert list(messages) == [
        (run.pk, f"Forked: {fork.pk}"),
        (fork.pk, f"Started as a fork of: {run.pk}"),
    ]


def test_a_fork_from_what_is_no_step_is_refused(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = brought_to("cancel", workflows)
    done = {"post": "yes", "step": "nothing"}
    answer = admin_client.post(run_url(run, "fork"), done, follow=True)
    assert "There is no step" in text_of(answer.content.decode())
    assert Run.objects.count() == 1
    assert not LogEntry.objects.exists()
