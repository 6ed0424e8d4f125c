"""What is done over the API is told under the name of who did it: by the logs of runs,
and by the admin's log of schedules and definitions."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connections
from django.test.utils import CaptureQueriesContext
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.test import APIClient

from django_workflows import create_hook, create_schedule, get_run, start, workflow
from django_workflows.models import Definition, Event, Run, Schedule
from django_workflows.store.database import alias
from django_workflows.store.people.actors import actor_of
from django_workflows.store.people.deeds import deeds_of
from django_workflows.store.people.words import SENT
from django_workflows.testing import WorkflowTester
from tests.api.conftest import API
from tests.api.workflows import order, paying, sleeping, waiting

pytestmark = pytest.mark.django_db

OPEN = {"PERMISSION_CLASSES": [AllowAny]}
Notes = list[tuple[str, str, str]]
#: Types of events, with who caused them and how they had come.
Told = list[tuple[str, str, str]]


@workflow(name="people.arrived", on="People.arrived")
async def arrived(data: Any) -> None:
    return None


@workflow(name="people.refusing")
async def refusing() -> None:
    with create_hook(token="refused") as hook:
        raise ValueError(await hook)


def notes() -> Notes:
    """Who did it, to what, and what: the first one first."""
    entries = LogEntry.objects.order_by("pk").select_related("user")
    return [
        (each.user.username, str(each.object_id), each.get_change_message())
        for each in entries
    ]


def post(client: APIClient, path: str, body: Any = None, code: int = 200) -> Any:
    answer = client.post(f"{API}{path}/", body or {}, "json")
    assert answer.status_code == code, answer.content
    return answer.json()


@pytest.fixture
def asleep(workflows: WorkflowTester) -> Run:
    run = start(sleeping)
    workflows.run_until_idle()
    return run


# -- runs -----------------------------------------------------------------------------


def told(run: Run) -> Told:
    """What the run's own log tells of who did what: the first deed first."""
    return [
        (event.type, event.details["by"], event.details["way"])
        for event in Event.objects.filter(run=run).order_by("pk")
        if "by" in event.details
    ]


def by_staff(*types: str) -> Told:
    return [(kind, "staff", "api") for kind in types]


def test_whatever_is_done_to_a_run(staff: APIClient, workflows: WorkflowTester) -> None:
    run_id = post(staff, "runs", {"workflow": sleeping.name}, 201)["id"]
    workflows.run_until_idle()
    for verb in ("pause", "resume", "wake"):
        post(staff, f"runs/{run_id}/{verb}")
        workflows.run_until_idle()
    run = Run.objects.get()
    assert run.result() == "slept"
    assert told(run) == by_staff(
        "run_created", "run_paused", "run_resumed", "wake_requested"
    )
    # That log is kept for ever and has no index by what its notes are about.
    assert notes() == []


def test_what_is_done_before_it_begins(staff: APIClient) -> None:
    body = {"workflow": sleeping.name, "delay": "1h"}
    run_id = post(staff, "runs", body, 201)["id"]
    for verb in ("pause", "resume", "cancel"):
        post(staff, f"runs/{run_id}/{verb}")
    kinds = ("run_created", "run_paused", "run_resumed", "run_cancelled")
    assert told(Run.objects.get()) == by_staff(*kinds)


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
def test_reasons_and_retries(
    verb: str, asleep: Run, staff: APIClient, workflows: WorkflowTester
) -> None:
    post(staff, f"runs/{asleep.pk}/{verb}", {"reason": "fraud: suspected"})
    workflows.run_until_idle()
    kind = {"cancel": "cancel_requested", "terminate": "run_terminated"}[verb]
    asked = Event.objects.get(run=asleep, type=kind)
    assert asked.details == {"reason": "fraud: suspected", "by": "staff", "way": "api"}
    expected = [kind]
    if verb == "cancel":
        post(staff, f"runs/{asleep.pk}/retry")
        expected.append("run_retried")
    assert told(asleep) == by_staff(*expected)


def test_a_blocked_run_that_is_tried_again(
    staff: APIClient, workflows: WorkflowTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(sleeping)
    workflows.run_until_idle()
    monkeypatch.setattr(sleeping, "func", waiting.func)
    workflows.crash()
    workflows.advance("1h")
    assert get_run(run.pk).blocked_reason
    monkeypatch.undo()
    post(staff, f"runs/{run.pk}/resume")
    workflows.run_until_idle()
    assert not get_run(run.pk).blocked_reason
    assert told(run) == by_staff("run_resumed")


def test_copies_tell_who_made_them(staff: APIClient, workflows: WorkflowTester) -> None:
    run = start(paying, Decimal("1.50"))
    workflows.run_until_idle()
    step = run.history()[2].correlation_id
    again = post(staff, f"runs/{run.pk}/replay", code=201)["id"]
    fork = post(staff, f"runs/{run.pk}/fork", {"from_step": step}, 201)["id"]
    for new, origin in ((again, "replayed_from"), (fork, "forked_from")):
        created = get_run(new).history()[0].data
        assert (created[origin], created["by"], created["way"]) == (
            run.pk,
            "staff",
            "api",
        )
    assert told(run) == notes() == []
    workflows.run_until_idle()
    assert get_run(fork).result() == get_run(again).result()


def test_what_an_event_starts(staff: APIClient) -> None:
    post(staff, "events", {"event": "People.arrived"})
    assert told(Run.objects.get(workflow=arrived.name)) == by_staff("run_created")


def test_payloads_cost_the_admins_log_nothing(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    run = start(waiting)
    workflows.run_until_idle()
    with CaptureQueriesContext(connections[alias()]) as captured:
        post(staff, "hooks/secret-token/resume", {"iban": "DE00"})
    assert not any("admin_log" in query["sql"] for query in captured)
    assert told(run) == by_staff("hook_received")
    # Accepted, and read by nobody: it is in the log all the same.
    post(staff, "hooks/secret-token/resume", {"iban": "DE01"})
    workflows.run_until_idle()
    assert run.result() == {"iban": "DE00"}
    assert told(run) == by_staff("hook_received", "hook_received")
    assert notes() == []


def test_a_retry_sends_nobodys_payload_once_more(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    """The run gets it again, but nobody has sent it twice."""
    run = start(refusing)
    workflows.run_until_idle()
    post(staff, "hooks/refused/resume", "never")
    workflows.run_until_idle()
    run.refresh_from_db()
    run.retry()
    workflows.run_until_idle()
    assert [e.type for e in run.history()].count("hook_received") == 2
    assert [deed.by for deed in deeds_of(run) if deed.done == SENT] == [
        "staff over the API"
    ]


def test_clients_are_not_told_who_it_was(
    asleep: Run, staff: APIClient, workflows: WorkflowTester
) -> None:
    """Names of users are personal data; the page of a run in the admin has them."""
    post(staff, f"runs/{asleep.pk}/cancel", {"reason": "late"})
    workflows.run_until_idle()
    events = staff.get(f"{API}runs/{asleep.pk}/events/").json()["results"]
    said = [each["data"] for each in events if each["type"] == "cancel_requested"]
    assert said == [{"reason": "late"}]


def test_what_has_changed_nothing_is_not_told(
    asleep: Run, staff: APIClient, workflows: WorkflowTester
) -> None:
    """Else the page of a run would name somebody who came too late."""
    post(staff, f"runs/{asleep.pk}/cancel", {"reason": "first"})
    post(staff, f"runs/{asleep.pk}/cancel", {"reason": "second"})
    workflows.run_until_idle()
    post(staff, f"runs/{asleep.pk}/cancel", {"reason": "third"})
    post(staff, f"runs/{asleep.pk}/pause", code=409)
    unborn = start(sleeping.options(delay="1h", key="k"))
    post(staff, f"runs/{unborn.pk}/wake")
    post(staff, "runs", {"workflow": sleeping.name, "key": "k"})
    post(staff, "runs", {"workflow": order.name}, 400)
    assert told(asleep) == by_staff("cancel_requested")
    assert told(unborn) == []


def test_what_code_does_afterwards_is_nobodys(
    asleep: Run, staff: APIClient, workflows: WorkflowTester
) -> None:
    post(staff, f"runs/{asleep.pk}/pause")
    workflows.run_until_idle()
    asleep.resume()
    workflows.run_until_idle()
    assert told(asleep) == by_staff("run_paused")
    assert told(start(sleeping)) == []


# -- schedules and definitions --------------------------------------------------------


def test_whatever_is_done_to_a_schedule(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    hourly = {"name": "hourly", "workflow": sleeping.name, "interval": "1h"}
    post(staff, "schedules", hourly, 201)
    own = f"schedules/{Schedule.objects.get().pk}"
    for change in ({"note": "busy", "jitter": "5s"}, {"note": "busy"}):
        assert staff.patch(f"{API}{own}/", change, "json").status_code == 200
    post(staff, f"{own}/pause", {"note": "we move"})
    post(staff, f"{own}/unpause")
    run_id = post(staff, f"{own}/trigger", code=201)["id"]
    day = {"start": "2026-01-01T01:00:00Z", "end": "2026-01-01T02:00:00Z"}
    made_up = post(staff, f"{own}/backfill", day)["runs"]
    assert len(made_up) == 2
    assert post(staff, f"{own}/backfill", day) == {"runs": []}
    assert staff.delete(f"{API}{own}/").status_code == 204
    pk = own.rpartition("/")[2]
    period = "2026-01-01 01:00:00 UTC to 2026-01-01 02:00:00 UTC"
    assert notes() == [
        ("staff", what, f"Over the API: {text}")
        for what, text in [
            (pk, "Added."),
            (pk, "Changed: jitter, note"),
            (pk, "Paused: we move"),
            (pk, "Unpaused"),
            (pk, f"Triggered: {run_id}"),
            (pk, f"Made up for times from {period}: 2"),
            (pk, "Deleted."),
        ]
    ]
    for started in (run_id, *made_up):
        assert told(get_run(started)) == by_staff("run_created")
    flags = LogEntry.objects.order_by("pk").values_list("action_flag", flat=True)
    assert [*flags] == [ADDITION, *[CHANGE] * 5, DELETION]


def test_whatever_is_done_to_a_definition(staff: APIClient) -> None:
    one = {"id": "noted", "steps": [{"id": "a", "action": "noop"}]}
    two = {**one, "name": "Noted"}
    post(staff, "definitions", one, 201)
    post(staff, "definitions", one, 201)
    post(staff, "definitions", [one], 400)
    assert staff.put(f"{API}definitions/noted/", two, "json").status_code == 200
    assert staff.delete(f"{API}definitions/noted/").status_code == 204
    assert staff.delete(f"{API}definitions/noted/").status_code == 404
    first, second = Definition.objects.order_by("version")
    assert notes() == [
        ("staff", str(first.pk), "Over the API: Added."),
        ("staff", str(second.pk), "Over the API: Saved version 2"),
        ("staff", str(second.pk), "Over the API: Deleted."),
    ]


# -- those whom the admin's log cannot name -------------------------------------------


class TokenUser:
    """No row, as users of tokens are that say all there is to know."""

    is_authenticated = True
    pk = 1

    def get_username(self) -> str:
        return "service"


class ByToken(BaseAuthentication):
    user: Any = TokenUser()

    def authenticate(self, request: Request) -> tuple[Any, None]:
        return self.user, None


class Unsaved(ByToken):
    """Of the project's user model, and no row either."""

    user = User(pk=4711, username="service")


class Nameless(ByToken):
    """Of no model at all."""

    user = SimpleNamespace(is_authenticated=True, pk=1, username="who knows")


class Numbered(ByToken):
    """Of a model whose names are no text."""

    user = SimpleNamespace(is_authenticated=True, get_username=lambda: UUID(int=7))


def does_all(client: APIClient, run: Run, workflows: WorkflowTester) -> Told:
    post(client, f"runs/{run.pk}/cancel", {"reason": "who knows"})
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.status == "cancelled"
    hourly = {"name": "hourly", "workflow": sleeping.name, "interval": "1h"}
    post(client, "schedules", hourly, 201)
    new = post(client, "schedules/hourly/trigger", code=201)["id"]
    one = {"id": "noted", "steps": [{"id": "a", "action": "noop"}]}
    post(client, "definitions", one, 201)
    assert not LogEntry.objects.exists()
    return told(run) + told(get_run(new))


def both_by(name: str) -> Told:
    return [(kind, name, "api") for kind in ("cancel_requested", "run_created")]


def test_nobody(asleep: Run, workflows: WorkflowTester, settings: Any) -> None:
    settings.WORKFLOWS = OPEN
    assert does_all(APIClient(), asleep, workflows) == []


@pytest.mark.parametrize(
    ("known_by", "expected"),
    [
        (ByToken, both_by("service")),
        (Unsaved, both_by("service")),
        (Nameless, []),
        (Numbered, both_by("00000000-0000-0000-0000-000000000007")),
    ],
)
def test_users_who_are_no_rows(
    known_by: type,
    expected: Told,
    asleep: Run,
    workflows: WorkflowTester,
    settings: Any,
) -> None:
    settings.WORKFLOWS = {**OPEN, "AUTHENTICATION_CLASSES": [known_by]}
    assert does_all(APIClient(), asleep, workflows) == expected


def test_a_project_without_the_admin(
    asleep: Run, staff: APIClient, workflows: WorkflowTester, settings: Any
) -> None:
    settings.INSTALLED_APPS = [
        app for app in django_settings.INSTALLED_APPS if app != "django.contrib.admin"
    ]
    assert does_all(staff, asleep, workflows) == both_by("staff")


# -- transactions ---------------------------------------------------------------------


def test_what_cannot_be_noted_is_not_done(
    staff: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **options: Any) -> None:
        raise DatabaseError("no room for notes")

    schedule = create_schedule("hourly", sleeping, interval="1h")
    monkeypatch.setattr(LogEntry.objects, "log_actions", fails)
    with pytest.raises(DatabaseError):
        staff.post(f"{API}schedules/hourly/trigger/")
    with pytest.raises(DatabaseError):
        staff.delete(f"{API}schedules/hourly/")
    assert Schedule.objects.get() == schedule
    assert not Run.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_is_tried_again_and_noted_once(
    client_of: Callable[[str], APIClient],
) -> None:
    client_of("staff")
    actor = actor_of(User.objects.get())
    run = start(sleeping)
    tries = []

    def act() -> str:
        tries.append(1)
        run.cancel()
        actor.note(run, "Cancelled")
        if len(tries) < 3:
            raise OperationalError(1213, "Deadlock found when trying to get lock")
        return "done"

    assert actor.noted(act) == "done"
    assert notes() == [("staff", run.pk, "Cancelled")]
    assert told(run) == [("run_cancelled", "staff", "admin")]
    run.refresh_from_db()
    assert run.status == "cancelled"
