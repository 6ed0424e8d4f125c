"""What the console offers to do to a run is what can be done to it."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from django_workflows import (
    InvalidRunStateError,
    WorkflowRunNotFoundError,
    continue_as_new,
    create_hook,
    resume_hook,
    sleep,
    start,
    workflow,
)
from django_workflows.admin.permissions import VERBS
from django_workflows.admin.steering import possible, steer
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester

pytestmark = pytest.mark.django_db

STATES = [
    "pending",
    "paused before it began",
    "running",
    "asked to pause",
    "paused",
    "asked to resume",
    "asked to stop",
    "paused and asked to stop",
    "blocked",
    "completed",
    "failed",
    "cancelled",
    "terminated",
    "timed_out",
    "continued_as_new",
]


@workflow
async def going(state: str) -> None:
    if state == "blocked":
        random.random()
    if state == "failed":
        raise ValueError("no luck")
    if state == "continued_as_new":
        continue_as_new("completed")
    if state != "completed":
        await sleep("1d")


@workflow
async def waiting() -> str:
    with create_hook("steering-nap") as hook:
        await hook
    await sleep("1d")
    return "awake"


def brought_to(state: str, workflows: WorkflowTester) -> Run:
    """A run in a state, and the rest of the world idle."""
    run: Run = going.options(timeout="2h" if state == "timed_out" else None).start(
        state
    )
    if state not in ("pending", "paused before it began"):
        workflows.run_until_idle()
    if "paus" in state or state == "asked to resume":
        run.pause()
    if state in ("paused", "asked to resume", "paused and asked to stop"):
        workflows.run_until_idle()
    if state == "asked to resume":
        run.resume()
    if "stop" in state or state == "cancelled":
        run.cancel()
    if state == "cancelled":
        workflows.run_until_idle()
    if state == "terminated":
        run.terminate()
    if state == "timed_out":
        workflows.advance("2h")
    run.refresh_from_db()
    return run


def everything(run: Run) -> Any:
    """All there is of a run, and how many others there are."""
    return (
        Run.objects.filter(pk=run.pk).values().get(),
        list(Event.objects.filter(run=run).order_by("id").values()),
        Run.objects.count(),
    )


def by(user: User) -> HttpRequest:
    request = HttpRequest()
    request.user = user
    return request


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", VERBS)
def test_what_changes_a_run_is_possible_and_nothing_else(
    workflows: WorkflowTester, admin_user: User, state: str, verb: str
) -> None:
    run = brought_to(state, workflows)
    before = everything(run)
    is_possible = verb in possible(run)
    assert everything(run) == before

    if is_possible:
        shown = steer(by(admin_user), run, verb)
        assert everything(run) != before
        noted = LogEntry.objects.filter(object_id=run.pk)
        assert [entry.user for entry in noted] == [admin_user]
        assert (shown == run) is (verb != "replay")
        return
    with pytest.raises(InvalidRunStateError, match=r"not possible|already"):
        steer(by(admin_user), run, verb)
    assert everything(run) == before
    assert not LogEntry.objects.exists()
    if (verb, state) == ("wake", "blocked"):
        return  # the engine would leave it to a later round to see that nothing sleeps
    # The engine itself refuses it, or has nothing to do.
    with suppress(InvalidRunStateError):
        getattr(run, verb)()
    assert everything(run) == before


@pytest.mark.parametrize("state", STATES)
def test_the_states_are_those_that_are_meant(
    workflows: WorkflowTester, state: str
) -> None:
    run = brought_to(state, workflows)
    assert bool(run.blocked_reason) is (state == "blocked")
    expected = {
        "paused before it began": "paused",
        "asked to pause": "running",
        "asked to resume": "paused",
        "asked to stop": "running",
        "paused and asked to stop": "paused",
        "blocked": "running",
    }.get(state, state)
    assert run.status == expected


def test_the_log_tells_what_was_done_and_why(
    workflows: WorkflowTester, admin_user: User
) -> None:
    run = brought_to("running", workflows)
    steer(by(admin_user), run, "pause")
    steer(by(admin_user), run, "terminate", "wrong customer")
    new = steer(by(admin_user), run, "replay")
    entries = LogEntry.objects.filter(object_id=run.pk).order_by("id")
    assert [entry.get_change_message() for entry in entries] == [
        "Paused",
        "Terminated: wrong customer",
        f"Replayed: {new.pk}",
    ]
    about_new = LogEntry.objects.get(object_id=new.pk)
    assert about_new.get_change_message() == f"Started as a replay of: {run.pk}"
    assert about_new.object_repr == str(new)
    ended = Event.objects.get(run=run, type="run_terminated")
    assert ended.data == {
        "reason": "wrong customer",
        "by": admin_user.username,
        "way": "admin",
    }


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_its_permission(
    workflows: WorkflowTester, django_user_model: type[User], verb: str
) -> None:
    run = brought_to("failed" if verb == "retry" else "running", workflows)
    if verb == "resume":
        run.pause()
    user = django_user_model.objects.create_user("eve", is_staff=True)
    others = Permission.objects.exclude(codename=f"{verb}_run")
    user.user_permissions.set(others)
    before = everything(run)
    with pytest.raises(PermissionDenied):
        steer(by(user), run, verb)
    assert everything(run) == before

    user.user_permissions.set(Permission.objects.filter(codename=f"{verb}_run"))
    steer(by(django_user_model.objects.get(pk=user.pk)), run, verb)
    assert everything(run) != before
    user.is_active = False
    with pytest.raises(PermissionDenied):
        steer(by(user), run, verb)


def test_a_run_is_woken_only_while_it_sleeps(
    workflows: WorkflowTester, admin_user: User
) -> None:
    run = start(waiting)
    workflows.run_until_idle()
    run.refresh_from_db()
    assert "wake" not in possible(run)
    with pytest.raises(InvalidRunStateError, match="The run does not sleep"):
        steer(by(admin_user), run, "wake")
    assert not LogEntry.objects.exists()
    resume_hook("steering-nap", None)
    workflows.run_until_idle()
    steer(by(admin_user), run, "wake")
    workflows.run_until_idle()
    assert run.result() == "awake"


def test_a_run_that_is_gone_is_not_found(admin_user: User) -> None:
    run = start(going, "running")
    Run.objects.filter(pk=run.pk).delete()
    with pytest.raises(WorkflowRunNotFoundError):
        steer(by(admin_user), run, "cancel")
    assert not LogEntry.objects.exists()


def test_what_the_engine_refuses_is_not_noted(
    workflows: WorkflowTester, admin_user: User
) -> None:
    run: Run = going.options(key="only one").start("failed")
    workflows.run_until_idle()
    going.options(key="only one", on_conflict="restart_closed").start("running")
    run.refresh_from_db()
    assert "retry" in possible(run)
    with pytest.raises(InvalidRunStateError, match="another run"):
        steer(by(admin_user), run, "retry")
    assert not LogEntry.objects.exists()
