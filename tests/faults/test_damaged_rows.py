"""Whatever is in a row, all that people look at it with shows it, or says it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.db import connection, models, transaction
from django.db.models import Min
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse
from django.utils.timezone import now

from django_workflows import (
    create_schedule,
    create_webhook,
    define_hook,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.definitions import list_definitions, register
from django_workflows.definitions import start as start_definition
from django_workflows.errors import InvalidDefinitionError
from django_workflows.models import Definition, Event, Hook, Run, Schedule, Worker
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, read, run_url, user_with
from tests.admin.panels import shop, tale
from tests.definitions.registered import registered_for_a_while
from tests.faults.damage import damage_rows, spread
from tests.faults.sampling import unless_all
from tests.management.commands import run_fully

pytestmark = pytest.mark.django_db

API = "/workflows/api/"
#: Looks at something, in one way.
Look = Callable[[], object]

_paid = define_hook(dict[str, int])


@step(name="damaged.refused")
def refused() -> None:
    raise ValueError("no credit")


@workflow(name="damaged.failing")
async def failing() -> None:
    await refused()


@workflow(name="damaged.waiting")
async def waiting() -> None:
    """Waits for a webhook and for a payload with a schema."""
    with create_webhook("damaged-webhook"), _paid.create("damaged-hook") as hook:
        await hook


@workflow(name="damaged.resting")
async def resting(length: str) -> None:
    await sleep(length)


@pytest.fixture
def looks(workflows: WorkflowTester) -> Iterator[dict[str, Look]]:
    """Every way to look at rows of every kind, by what it is called."""
    with registered_for_a_while():
        _make(workflows)
        client = client_of(User.objects.create_superuser("root"))
        yield {**_pages(client), **_reads(client), **_commands()}


def _make(workflows: WorkflowTester) -> None:
    retried = start(failing)
    runs = [start(shop), start(tale, 2), retried, start(failing), start(waiting)]
    start(resting.options(attributes={"customer": 7}, key="rest"), "1d")
    runs += [start(resting, "1d") for _ in range(3)]
    step_of = {"id": "one", "action": "noop", "params": {"a": 1}}
    register({"id": "order", "name": "An order", "steps": [step_of]})
    start_definition("order", {"total": 7})
    create_schedule("nightly", resting, args=["1d"], cron="0 2 * * *", note="by night")
    create_schedule("hourly", resting, args=["1d"], interval="1h")
    create_schedule("once", shop, at=workflows.now.replace(year=2100))
    workflows.run_until_idle()
    workflows.advance("1h")
    cancelled, paused, terminated = runs[-3:]
    cancelled.cancel("too late")
    terminated.terminate("far too late")
    paused.pause()
    workflows.run_until_idle()
    retried.retry()
    workflows.run_until_idle()
    if not Worker.objects.exists():
        Worker.objects.create(
            id="a worker", host="here", pid=1, started_at=now(), heartbeat_at=now()
        )


def _pages(client: Client) -> dict[str, Look]:
    """The pages of the console: every list, the page of every row that differs from
    others, and what can be done to one of each kind."""
    urls = [reverse("admin:app_list", args=["django_workflows"])]
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label != "django_workflows":
            continue
        keys = [quote(str(pk)) for pk in _differing(model)]
        for pattern in model_admin.get_urls():
            name = f"admin:{getattr(pattern, 'name', None)}"
            with suppress(NoReverseMatch):
                urls.append(reverse(name))
            with suppress(NoReverseMatch):
                shown = keys if name.endswith("_change") else keys[:1]
                urls += [reverse(name, args=[key]) for key in shown]
    start_url = reverse("admin:django_workflows_run_start")
    again = Run.objects.get(workflow=tale.name).pk
    urls += [f"{start_url}?workflow={tale.name}", f"{start_url}?run={again}"]
    urls.append(f"{reverse('admin:django_workflows_definition_start')}?id=order")
    return {url: partial(client.get, url) for url in urls}


def _differing(model: type[models.Model]) -> list[Any]:
    """Of events one of each type."""
    if model is Event:
        found = Event.objects.values_list("type").annotate(key=Min("pk"))
        return [key for _type, key in found]
    return list(model._default_manager.values_list("pk", flat=True))


def _reads(client: Client) -> dict[str, Look]:
    """What the API shows."""
    paths = ["", "runs/", "workflows/", "definitions/", "definitions/order/"]
    paths += ["schedules/", "workers/", "health/"]
    paths += [f"schedules/{name}/" for name in ("nightly", "hourly", "once")]
    paths += [
        f"hooks/{token}/" for token in Hook.objects.values_list("token", flat=True)
    ]
    for pk in Run.objects.values_list("pk", flat=True):
        paths += [f"runs/{pk}/{below}" for below in ("", "events/", "steps/")]
    return {API + path: partial(client.get, API + path) for path in paths}


def _commands() -> dict[str, Look]:
    """What the command line shows."""
    commands = [["check-replay"]]
    for name in ("list", "schedules", "health", "workers --all"):
        commands += [name.split(), [*name.split(), "--json"]]
    for pk in Run.objects.values_list("pk", flat=True):
        commands += [["show", pk], ["show", pk, "--json"], ["events", pk]]
        commands += [["export", pk]]
    told = Run.objects.get(workflow=tale.name).pk
    commands += [
        ["stream", told, "--no-follow", "--namespace", name] for name in ("", "words")
    ]
    return {" ".join(each): partial(_run, *each) for each in commands}


def _run(*arguments: str) -> None:
    with suppress(CommandError):  # which says what is wrong
        run_fully(*arguments)


def _tables_of(look: Look) -> set[str]:
    """The tables that it reads."""
    with CaptureQueriesContext(connection) as captured:
        look()
    tables = {model._meta.db_table for model in apps.get_models()}
    text = " ".join(query["sql"] for query in captured.captured_queries)
    return {table for table in tables if table in text}


MODELS = list(apps.get_app_config("django_workflows").get_models())
#: The tables that each look reads, by its name: the same for each model.
read_by: dict[str, set[str]] = {}


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_what_cannot_be_read_breaks_nothing_that_people_look_at(
    looks: dict[str, Look], model: type[models.Model]
) -> None:
    for name in looks.keys() - read_by.keys():
        read_by[name] = _tables_of(looks[name])
    reading = {
        name: look
        for name, look in looks.items()
        if model._meta.db_table in read_by[name]
    }
    problems = []
    # There are more events than can happen to one, and they are of many types.
    offsets = unless_all((0,), (0, 7, 14)) if model is Event else (0,)
    for damages in spread(model, offsets):
        with transaction.atomic():
            if done := damage_rows(model, damages):
                problems += [f"{found}, after {done}" for found in _problems(reading)]
            transaction.set_rollback(True)
    assert problems == []


def _problems(looks: Mapping[str, Look]) -> Iterator[str]:
    for name, look in looks.items():
        try:
            with transaction.atomic():
                look()
        except Exception as error:
            yield f"{name}: {error!r}"


def _shown(url: str, *codenames: str) -> str:
    """The text of a page for a user who may see runs and these."""
    seen = ("view_run", "view_event", "view_hook", "view_definition", "view_schedule")
    User.objects.filter(username="reader").delete()
    user = user_with(*seen, *codenames, name="reader")
    return read(client_of(user), url)


def _page(row: models.Model) -> str:
    return reverse(
        f"admin:django_workflows_{row._meta.model_name}_change", args=[row.pk]
    )


def test_details_of_an_event_that_cannot_be_read(workflows: WorkflowTester) -> None:
    """They may be anything, payloads as well."""
    run, half = start(tale, 1), '{"name": "half of'
    workflows.run_until_idle()
    event = Event.objects.get(run=run, type="step_created")
    Event.objects.filter(pk=event.pk).update(detail=half)
    assert Event.objects.get(pk=event.pk).details == {"unreadable": half}
    for page in (run_url(run), _page(event)):
        assert half in _shown(page, "view_payload").replace("\\", "")
        assert half not in _shown(page).replace("\\", "")
        assert "unreadable" in _shown(page)


def test_tokens_are_not_shown_in_what_cannot_be_read(workflows: WorkflowTester) -> None:
    run = start(waiting)
    workflows.run_until_idle()
    Event.objects.filter(run=run, type="hook_created").update(
        detail='{"token": "damaged-hook"'
    )
    assert "damaged-hook" not in _shown(run_url(run), "view_payload")
    for events in (run_fully("events", run.pk), run_fully("show", run.pk)):
        assert "damaged-hook" not in "".join(map(str, events))


def test_a_hook_that_cannot_be_read_takes_nothing(workflows: WorkflowTester) -> None:
    start(waiting)
    workflows.run_until_idle()
    webhook = Hook.objects.exclude(webhook="").get()
    plain = Hook.objects.get(webhook="")
    Hook.objects.filter(pk=webhook.pk).update(webhook='{"verify": ')
    Hook.objects.filter(pk=plain.pk).update(schema='{"type": ')
    may = ("view_payload", "resume_run")
    assert "cannot be read" in _shown(_page(webhook), *may)
    assert '{"verify":' in _shown(_page(webhook), *may)
    assert "not asked for" not in _shown(_page(webhook), *may)
    assert '{"verify":' not in _shown(_page(webhook), "resume_run")
    assert "No payload can be sent" in _shown(_page(plain), *may)
    assert '{"type":' in _shown(_page(plain), *may)


def test_a_definition_that_cannot_be_read_hinders_no_other(settings: Any) -> None:
    steps = [{"id": "one", "action": "noop"}]
    with registered_for_a_while():
        for name in ("good", "bad"):
            register({"id": name, "name": name, "steps": steps})
        row = Definition.objects.get(definition_id="bad")
        Definition.objects.filter(pk=row.pk).update(
            content='{"steps": "gone", "pin": "4711"}'
        )
        listed_ids = {each.id for each in list_definitions()}
        assert "good" in listed_ids
        assert "bad" not in listed_ids
        listed = _shown(reverse("admin:django_workflows_definition_changelist"))
        assert "good" in listed
        assert "bad" in listed
        page = _shown(_page(row))
        assert "bad v1 cannot be read: id: Field required" in page
        assert '{"steps": "gone", "pin": "4711"}' in page
        settings.WORKFLOWS = {"REDACT": ["pin"]}
        page = _shown(_page(row))
        assert '{"steps": "gone", "pin": [redacted]}' in page
        with pytest.raises(InvalidDefinitionError, match="cannot be read"):
            start_definition("bad")


def test_a_schedule_that_makes_no_sense_holds_up_no_other(
    workflows: WorkflowTester,
) -> None:
    bad = create_schedule("bad", resting, args=["1s"], interval="1h")
    good = create_schedule("good", resting, args=["1s"], interval="1h")
    models.QuerySet(Schedule).filter(pk=bad.pk).update(interval=None, cron="nonsense")
    workflows.advance("2h")
    bad.refresh_from_db()
    good.refresh_from_db()
    assert good.last_run_at is not None
    assert bad.next_run_at is None
    assert "ValueError: the cron expression 'nonsense' has 1 fields" in bad.last_error
    assert "cron nonsense" in _shown(
        reverse("admin:django_workflows_schedule_changelist")
    )
    assert "has 1 fields" in _shown(_page(bad), "change_schedule")
    bad.cron = "0 * * * *"
    bad.save()
    assert bad.next_run_at is not None
