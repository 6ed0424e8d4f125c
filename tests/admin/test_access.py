"""Who may come to which page of the console, and what a request can change there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from django_workflows import create_schedule, start
from django_workflows.definitions import register
from django_workflows.models import (
    Definition,
    Event,
    Hook,
    Run,
    Schedule,
    Step,
    Stream,
    Worker,
)
from django_workflows.testing import WorkflowTester
from tests.admin.crawling import page_names
from tests.admin.pages import client_of
from tests.admin.panels import shop
from tests.definitions.registered import registered_for_a_while

pytestmark = pytest.mark.django_db

APP = "django_workflows"
#: Permissions of which any will do; of an empty one there is none that does.
AnyOf = tuple[str, ...]
NOBODY: AnyOf = ()


def sees(model: str) -> AnyOf:
    return (f"view_{model}", f"change_{model}")


#: For every page of the console: what it takes, all of it.
NEEDS: dict[str, list[AnyOf]] = {
    **{
        f"{model}_{page}": [sees(model)]
        for model in ("run", "hook", "event", "worker", "schedule", "definition")
        for page in ("changelist", "change", "history")
    },
    **{
        f"{model}_{page}": [NOBODY]
        for model in ("run", "hook", "event", "worker")
        for page in ("add", "delete")
    },
    **{
        f"{model}_{page}": [(f"{page}_{model}",)]
        for model in ("schedule", "definition")
        for page in ("add", "delete")
    },
    **{
        f"run_{verb}": [(f"{verb}_run",), sees("run")]
        for verb in ("cancel", "terminate", "pause", "resume", "retry", "replay")
    },
    "run_wake": [("wake_run",), sees("run")],
    "run_fork": [("replay_run",), sees("run")],
    "run_start": [("start_run",)],
    "hook_resume": [("resume_run",), (*sees("hook"), *sees("run"))],
    "schedule_pause": [("change_schedule",)],
    "schedule_unpause": [("change_schedule",)],
    "schedule_trigger": [("change_schedule",), ("start_run",)],
    "schedule_backfill": [("change_schedule",), ("start_run",)],
    "definition_start": [("start_run",)],
    "definition_code": [sees("definition")],
}

#: Where it takes something else to send a form than to see it.
NEEDS_TO_SEND = {**NEEDS, "hook_change": NEEDS["hook_resume"]}

#: Enough for some of the forms, if they were taken.
SENT = {
    "post": "yes",
    "_selected_action": [],
    "reason": "why not",
    "payload": "1",
    "note": "mine",
    "count": "1",
    "input": "{}",
    "start": "2026-01-01T00:00",
    "end": "2026-01-02T00:00",
    "text": '{"id": "other", "name": "Other", "steps": []}',
}


@dataclass
class World:
    """A row of each kind, and what of them nobody is to see by chance."""

    addresses: dict[str, str]
    names: list[str]


@pytest.fixture
def world(workflows: WorkflowTester) -> Iterator[World]:
    with registered_for_a_while():
        run = start(shop)
        workflows.run_until_idle()
        workflows.advance("1m")
        schedule = create_schedule("nightly", shop, cron="0 0 * * *")
        register({"id": "orders", "name": "All orders", "steps": [_STEP]})
        worker = Worker.objects.first() or _worker()
        hook = Hook.objects.get(run=run)
        rows: dict[str, Any] = {
            "run": run.pk,
            "hook": hook.pk,
            "event": Event.objects.filter(run=run).earliest("pk").pk,
            "worker": worker.pk,
            "schedule": schedule.pk,
            "definition": Definition.objects.get().pk,
        }
        yield World(
            {name: _address(name, rows) for name in page_names()},
            [run.pk, hook.pk, "very-secret-token", "nightly", "All orders"],
        )


_STEP = {"id": "one", "action": "noop"}


def _worker() -> Worker:
    from django.utils.timezone import now

    return Worker.objects.create(
        id="worker-of-tests", host="host", pid=1, started_at=now(), heartbeat_at=now()
    )


def _address(name: str, rows: dict[str, Any]) -> str:
    model, page = name.split("_")
    route = f"admin:{APP}_{name}"
    if page in ("changelist", "add") or name == "run_start":
        query = f"?workflow={shop.name}" if page == "start" else ""
        return reverse(route) + query
    if name in ("definition_start", "definition_code"):
        return f"{reverse(route)}?id=orders"
    return reverse(route, args=[quote(str(rows[model]))])


def everything_but(*codenames: str) -> list[Permission]:
    ours = Permission.objects.filter(content_type__app_label=APP)
    return list(ours.exclude(codename__in=codenames))


def state() -> dict[str, list[Any]]:
    """All rows that a request could change."""
    models = (Run, Step, Event, Hook, Stream, Schedule, Definition, Worker, LogEntry)
    return {
        model.__name__: sorted(map(repr, model._default_manager.values_list()))
        for model in models
    }


def answers(client: Client, address: str) -> Iterator[HttpResponse]:
    """To a look, and to a form that is sent."""
    yield client.get(address)  # type: ignore[misc]
    yield client.post(address, SENT)  # type: ignore[misc]


def check_refused(world: World, answer: Any, where: str) -> None:
    if answer.status_code == 302:
        assert answer["Location"].startswith(reverse("admin:login")), where
    else:
        assert answer.status_code == 403, f"{where}: {answer.status_code}"
    html = answer.content.decode()
    assert [name for name in world.names if name in html] == [], where


def test_every_page_is_known_here() -> None:
    assert page_names() == sorted(NEEDS)


@pytest.mark.parametrize(
    ("is_staff", "has_permissions"), [(None, False), (False, True), (True, False)]
)
def test_strangers_come_nowhere(
    world: World, is_staff: bool | None, has_permissions: bool
) -> None:
    """Neither without an account, nor without being staff, nor without permissions."""
    client = Client()
    if is_staff is not None:
        user = User.objects.create_user("eve", is_staff=is_staff)
        user.user_permissions.set(everything_but() if has_permissions else [])
        client.force_login(user)
    before = state()
    for name, address in world.addresses.items():
        for answer in answers(client, address):
            check_refused(world, answer, name)
    first = client.get(reverse("admin:app_list", args=[APP]))
    assert first.status_code in (302, 404)
    assert state() == before


def test_each_permission_is_needed(world: World) -> None:
    """Who has all but one of them is refused, whatever else they may do."""
    user = User.objects.create_user("almost", is_staff=True)
    client = client_of(user)
    before = state()
    for name, address in world.addresses.items():
        for any_of in NEEDS[name]:
            user.user_permissions.set(everything_but(*any_of))
            where = f"{name} without {any_of}"
            check_refused(world, client.get(address), where)
        for any_of in NEEDS_TO_SEND[name]:
            user.user_permissions.set(everything_but(*any_of))
            where = f"sent to {name} without {any_of}"
            check_refused(world, client.post(address, SENT), where)
    assert state() == before


def test_no_more_is_needed(world: World) -> None:
    """Each page is there for who has just what it takes."""
    user = User.objects.create_user("just", is_staff=True)
    client = client_of(user)
    for name, address in world.addresses.items():
        if NOBODY in NEEDS[name]:
            continue
        chosen = [any_of[0] for any_of in NEEDS[name]]
        permissions = Permission.objects.filter(codename__in=chosen)
        user.user_permissions.set(permissions.filter(content_type__app_label=APP))
        answer: Any = client.get(address)
        assert answer.status_code in (200, 302), f"{name}: {answer.status_code}"
        assert "login" not in answer.headers.get("Location", ""), name


def test_looking_changes_nothing(world: World, admin_client: Client) -> None:
    before = state()
    for address in world.addresses.values():
        admin_client.get(address)
        admin_client.get(address, SENT)
    assert state() == before


def test_other_sites_can_send_nothing(world: World, admin_user: User) -> None:
    """Also where the middleware that asks for CSRF tokens is not installed."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    before = state()
    for name, address in world.addresses.items():
        assert client.post(address, SENT).status_code == 403, name
    assert state() == before
