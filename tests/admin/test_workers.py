"""The pages of workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_workflows import create_hook, start, step, workflow
from django_workflows.admin.addresses import run_url
from django_workflows.models import Run, Step, Worker
from django_workflows.store.database import connection, database_time, freeze_time
from django_workflows.store.health import database_now
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, queries_of, read, user_with

pytestmark = pytest.mark.django_db

LIST = reverse("admin:django_workflows_worker_changelist")


@pytest.fixture(autouse=True)
def _time_stands_still(db: None) -> Iterator[None]:
    """What was a minute ago is told as such, however long a page takes."""
    freeze_time(database_time(connection()))
    yield
    freeze_time(None)


@step(name="staff.clean")
def clean(room: int) -> int:
    return room


@workflow(name="staff.shift")
async def shift(room: int) -> None:
    await clean(room)
    await create_hook(token=f"done:{room}")


def add_worker(number: int, *, age: float = 0, **fields: Any) -> Worker:
    """One whose last sign of life is so many seconds ago."""
    now = database_now()
    values = {
        "host": "here",
        "pid": 1000 + number,
        "queues": "default,mail",
        "code": "c0de" * 16,
        "started_at": now - timedelta(hours=2, minutes=number),
        "heartbeat_at": now - timedelta(seconds=age),
    }
    worker: Worker = Worker.objects.create(id=f"wrk_{number}", **values | fields)
    return worker


def url_of(worker: Worker) -> str:
    return reverse("admin:django_workflows_worker_change", args=[worker.pk])


def work_on(worker: Worker, run: Run) -> None:
    """Have the worker own the run, and run its step."""
    Run.objects.filter(pk=run.pk).update(owner=worker.pk)
    began = database_now() - timedelta(minutes=3)
    run.steps.update(
        status=Step.Status.RUNNING,
        worker=worker.pk,
        attempt=7,
        started_at=began,
        finished_at=None,
    )


def test_the_list_says_who_is_alive(admin_client: Client) -> None:
    add_worker(1, runs=3, steps=4)
    add_worker(2, age=300)
    add_worker(3, stopped_at=database_now() - timedelta(minutes=10))
    text = read(admin_client, LIST)
    first, second, third = text.split("here:")[1:]
    assert "alive" in first
    assert "default, mail 3 4" in first
    assert "silent for 5 min" in second
    assert "stopped 10 min ago" in third
    open_ones = read(admin_client, f"{LIST}?state=running")
    assert "here:1001" in open_ones
    assert "here:1003" not in open_ones
    stopped = read(admin_client, f"{LIST}?state=stopped")
    assert "here:1001" not in stopped
    assert "here:1003" in stopped


def test_other_code_than_the_newest_worker_has_is_pointed_out(
    admin_client: Client,
) -> None:
    newest = add_worker(1, code="aaaaaaaabbbb")
    odd = add_worker(2, code="ccccccccdddd")
    add_worker(3, code="eeeeeeeeffff", age=600)
    text = read(admin_client, LIST)
    assert text.count("not the newest worker's") == 1
    assert "cccccccc not the newest worker's" in text
    hint = "The newest worker runs other code"
    assert hint in read(admin_client, url_of(odd))
    assert hint not in read(admin_client, url_of(newest))


def test_a_page_says_what_the_worker_works_on(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    worker = add_worker(1, runs=1, steps=1)
    busy, other = start(shift, 1), start(shift, 2)
    workflows.run_until_idle()
    work_on(worker, busy)
    html = admin_client.get(url_of(worker)).content.decode()
    text = read(admin_client, url_of(worker))
    assert "1 run, 1 step as of its last heartbeat" in text
    assert f"staff.clean {busy} 7 3 min" in text
    assert run_url(busy) in html
    assert run_url(other) not in html
    assert "data-live-page" in html
    without_runs = client_of(user_with("view_worker"))
    html = without_runs.get(url_of(worker)).content.decode()
    assert "here:1001" in html
    assert busy.pk not in html
    assert "staff.clean" not in html


def test_an_idle_worker_works_on_nothing(admin_client: Client) -> None:
    assert "Nothing at the moment." in read(admin_client, url_of(add_worker(1)))


def test_a_page_says_how_the_worker_ended(admin_client: Client) -> None:
    now = database_now()
    orderly = add_worker(1, age=60, stopped_at=now - timedelta(seconds=58))
    dead = add_worker(2, age=120, stopped_at=now - timedelta(seconds=60))
    assert "It signed off" in read(admin_client, url_of(orderly))
    text = read(admin_client, url_of(dead))
    assert "no sign of life for 1 min, and was declared dead" in text
    assert "stopped 1 min ago" in text
    assert "data-live-page" not in admin_client.get(url_of(dead)).content.decode()


def test_nobody_edits_workers(admin_client: Client) -> None:
    worker = add_worker(1)
    assert admin_client.post(url_of(worker), {"host": "there"}).status_code == 403
    for name, args in (("add", []), ("delete", [worker.pk])):
        url = reverse(f"admin:django_workflows_worker_{name}", args=args)
        assert admin_client.get(url).status_code == 403
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
    worker.refresh_from_db()
    assert worker.host == "here"


def test_workers_are_for_those_who_may_see_them() -> None:
    worker = add_worker(1)
    client = client_of(user_with("view_run"))
    assert client.get(LIST).status_code == 403
    assert client.get(url_of(worker)).status_code == 403


def test_many_workers_take_as_many_queries_as_few(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    worker = add_worker(0)
    urls = [LIST, url_of(worker)]
    run = start(shift, 0)
    workflows.run_until_idle()
    work_on(worker, run)
    few = [queries_of(admin_client, url) for url in urls]
    for number in range(1, 70):
        add_worker(number)
    for number in range(1, 6):
        run = start(shift, number)
        workflows.run_until_idle()
        work_on(worker, run)
    assert [queries_of(admin_client, url) for url in urls] == few
    assert max(few) <= 8
    assert "50 on this page" in read(admin_client, LIST)
