"""The dashboard on the app's index page."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urljoin

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_workflows import (
    RetryPolicy,
    create_hook,
    create_schedule,
    sleep,
    start,
    step,
    workflow,
)
from django_workflows.admin.addresses import run_url
from django_workflows.models import Run, Schedule, Step, Worker
from django_workflows.store import activity
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, queries_of, read, text_of, user_with

pytestmark = pytest.mark.django_db

URL = reverse("admin:app_list", args=["django_workflows"])
RUNS = reverse("admin:django_workflows_run_changelist")


@step(name="boards.look_up", retry=RetryPolicy(maximum_attempts=1))
def look_up(customer: int) -> int:
    if customer < 0:
        raise LookupError(f"no customer with card 4711-{customer}")
    return customer


@step(name="boards.rest")
def rest() -> None:
    """Takes no time."""


@workflow(name="boards.serve")
async def serve(customer: int) -> int:
    await rest()
    return await look_up(customer)


@workflow(name="boards.balance")
async def balance() -> None:
    raise ValueError("it does not add up")


@workflow(name="boards.wait")
async def wait() -> None:
    await create_hook(token="a bell")


@workflow(name="boards.nap")
async def nap() -> None:
    await sleep("1h")


@workflow(name="boards.peek", queue="peeking")
async def peek() -> datetime:
    """Reads a clock, which is forbidden."""
    return datetime.now()


def panel(client: Client, name: str, query: str = "") -> str:
    """The HTML of one panel."""
    html = client.get(URL + query).content.decode()
    found = re.search(
        rf'<section id="dashboard-{name}".*?</section>', html, flags=re.DOTALL
    )
    return "" if found is None else found[0]


def numbers(html: str) -> list[list[str]]:
    """The rows of a panel's table, without its head."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, flags=re.DOTALL)
    cells = [re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[text_of(cell) for cell in row] for row in cells][1:]


# -- the page -------------------------------------------------------------------------


def test_a_site_without_runs_is_told_how_to_begin(admin_client: Client) -> None:
    text = read(admin_client, URL)
    assert "No runs yet" in text
    assert "manage.py workflows worker" in text
    assert "No run was started in this period." in text
    assert "No run has failed." in text
    assert "Nothing waits for a worker." in text
    start(wait)
    assert "No runs yet" not in read(admin_client, URL)


def test_every_link_leads_somewhere(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    start(serve, -1)
    peek.options(queue="a queue & more").start()
    create_schedule("hourly", wait, interval="1h")
    workflows.run_until_idle()
    Run.objects.filter(status="running").update(wake_at=workflows.now)
    html = admin_client.get(URL).content.decode()
    html = html[html.index('id="dashboard"') : html.index('<div id="content-main"')]
    links = {unescape(link) for link in re.findall(r'href="([^"#]+)"', html)}
    assert len(links) > 14
    for link in links:
        assert admin_client.get(urljoin(URL, link)).status_code == 200, link


def test_djangos_list_of_models_stays(admin_client: Client) -> None:
    html = admin_client.get(URL).content.decode()
    assert html.index('id="dashboard"') < html.index('<div id="content-main"')
    assert f'<a href="{RUNS}"' in html[html.index('<div id="content-main"') :]


def test_only_who_may_see_runs_sees_the_dashboard() -> None:
    worker_html = client_of(user_with("view_worker")).get(URL).content.decode()
    assert 'id="dashboard"' not in worker_html
    client = client_of(user_with("view_run", name="bob"))
    html = client.get(URL).content.decode()
    assert 'id="dashboard"' in html
    assert 'id="dashboard-workers"' not in html
    assert 'id="dashboard-schedules"' not in html
    assert "Workers alive" not in html
    both = client_of(user_with("view_run", "view_worker", "view_schedule", name="cleo"))
    html = both.get(URL).content.decode()
    assert 'id="dashboard-workers"' in html
    assert 'id="dashboard-schedules"' in html


def test_other_apps_have_no_dashboard(admin_client: Client) -> None:
    url = reverse("admin:app_list", args=["auth"])
    assert 'id="dashboard"' not in admin_client.get(url).content.decode()


def test_the_period_can_be_chosen(admin_client: Client) -> None:
    for query, key in [("?period=7d", "7d"), ("", "1d"), ("?period=%00", "1d")]:
        html = admin_client.get(URL + query).content.decode()
        assert f'href="?period={key}" aria-current="true"' in html
        assert html.count('aria-current="true"') == 1


def test_however_much_there_is_it_takes_as_many_queries(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    def fill(number: int) -> None:
        start(serve, number)
        start(serve, -1 - number)
        peek.options(queue=f"peeking-{number}").start()
        create_schedule(f"schedule {number}", wait, interval="1h")
        workflows.run_until_idle()
        nap.options(queue=f"busy-{number}").start()
        now = workflows.now
        worker = Worker(id=f"wrk_{number}", host="here", pid=number, code=f"{number}")
        worker.started_at = worker.heartbeat_at = now
        worker.save()

    fill(0)
    few = queries_of(admin_client, URL)
    for number in range(1, 12):
        fill(number)
    # On MariaDB where the period begins in the log is asked for half by half: once more
    # each time that the log has doubled.
    more = 5 if connection.vendor == "mysql" else 0
    assert few <= queries_of(admin_client, URL) <= few + more
    assert few <= 32 + more


# -- what happened --------------------------------------------------------------------


def test_runs_are_counted_by_start_and_status(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    for customer in (1, 2, -1):
        start(serve, customer)
    start(wait)
    workflows.run_until_idle()
    Run.objects.filter(status="completed").update(
        created_at=workflows.now - timedelta(hours=3)
    )
    html = panel(admin_client, "starts")
    head = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html)
    assert head == ["From", "completed", "running", "failed"]
    rows = [row[1:] for row in numbers(html)]
    assert len(rows) == 24
    assert rows[-4:] == [
        ["2", "0", "0"],
        ["0", "0", "0"],
        ["0", "0", "0"],
        ["0", "1", "1"],
    ]
    assert html.count('<rect class="dw-bar dw-bar-completed" x=') == 1
    hour = numbers(panel(admin_client, "starts", "?period=1h"))
    assert [sum(int(cell) for cell in row[1:]) for row in hour] == [0] * 59 + [2]


def test_old_runs_are_not_counted(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    start(serve, 1)
    workflows.run_until_idle()
    workflows.advance("31d")
    assert "No run was started" in panel(admin_client, "starts", "?period=30d")
    assert "Nothing was done" in panel(admin_client, "throughput", "?period=30d")
    assert "No step has ended" in panel(admin_client, "steps", "?period=30d")


def test_throughput_counts_starts_ends_and_steps(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    for customer in (1, 2, 3):
        start(serve, customer)
    start(wait)
    workflows.run_until_idle()
    assert numbers(panel(admin_client, "throughput"))[-1][1:] == ["6", "4", "3"]


def test_the_failure_rate_leaves_out_what_has_not_ended(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    for customer in (1, 2, 3, -1):
        start(serve, customer)
    start(wait)
    start(wait).cancel()
    workflows.run_until_idle()
    assert numbers(panel(admin_client, "rates"))[-1][1:] == ["25 %"]
    assert "Failure rate 25 %" in text_of(panel(admin_client, "numbers"))


def test_latencies_are_of_the_last_attempts(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    for number in range(10):
        start(serve, number)
    workflows.run_until_idle()
    for number, call in enumerate(Step.objects.filter(name="boards.look_up")):
        assert call.finished_at is not None
        call.started_at = call.finished_at - timedelta(seconds=1 + number)
        call.save()
    rows = numbers(panel(admin_client, "steps"))
    assert [row[0] for row in rows] == ["All steps", "boards.look_up", "boards.rest"]
    assert rows[1] == ["boards.look_up", "5.0 s", "10 s", "10 s", "10"]
    assert rows[0][1:] == ["0 ms", "9.0 s", "10 s", "20"]
    assert "Of 20 last attempts" in panel(admin_client, "steps")


def test_what_failed_last_shows_messages_only_to_those_who_may_see_payloads(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    start(serve, -1)
    workflows.advance("1m")
    later = start(serve, -2)
    workflows.run_until_idle()
    html = panel(admin_client, "failures")
    assert "no customer with card 4711--2" in html
    assert run_url(later) in html
    few = client_of(user_with("view_run"))
    whole_page = few.get(URL).content.decode()
    assert "LookupError" in panel(few, "failures")
    assert "4711" not in whole_page


def test_what_fails_alike_is_told_once(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    for number in range(1, 4):
        start(serve, -number)
        workflows.advance("1m")
    other = start(balance)
    workflows.run_until_idle()
    html = panel(admin_client, "failures")
    assert re.findall("<strong>(.*?)</strong>", html) == ["ValueError", "LookupError"]
    assert run_url(other) in html
    assert text_of(html).count("run before it") == 0
    [link] = re.findall(r'<a href="([^"]*)">and 2 runs before it</a>', html)
    assert "3 on this page" in read(admin_client, unescape(link))


def test_a_long_run_that_failed_now_is_among_those_that_failed_last(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    runs = []
    for _ in range(10):
        runs.append(start(serve, -1))
        workflows.advance("1d")
    first, ended = runs[0], workflows.now
    Run.objects.filter(pk=first.pk).update(finished_at=ended)
    html = panel(admin_client, "failures")
    assert re.findall(r'href="([^"]*/change/)"', html)[0] == run_url(first)


# -- how things stand -----------------------------------------------------------------


def test_blocked_runs_are_told_by_cause(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    runs = [start(peek) for _ in range(3)]
    workflows.run_until_idle()
    html = panel(admin_client, "blocked")
    [row] = numbers(html)
    assert row[0].startswith("WorkflowGuardError")
    assert "workflow code" in row[0]
    assert row[1:] == ["boards.peek", "3"]
    assert f'href="{RUNS}?blocked=yes&amp;workflow=boards.peek"' in html
    assert run_url(min(runs, key=lambda run: run.pk)) in html
    assert len(re.findall("3 on this page", read(admin_client, RUNS + "?blocked=yes")))
    few = client_of(user_with("view_run"))
    assert numbers(panel(few, "blocked")) == [
        ["WorkflowGuardError", "boards.peek", "3"]
    ]
    assert "Blocked 3" in text_of(panel(few, "numbers"))


def test_without_blocked_runs_there_is_no_such_panel(admin_client: Client) -> None:
    start(wait)
    assert panel(admin_client, "blocked") == ""


def test_what_waits_in_queues_is_told_with_the_oldest_run(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    runs = [nap.options(queue=name).start() for name in ("mail", "default", "mail")]
    workflows.advance("0s")
    Run.objects.update(wake_at=workflows.now - timedelta(minutes=5))
    oldest = runs[2]
    Run.objects.filter(pk=oldest.pk).update(
        wake_at=workflows.now - timedelta(minutes=7)
    )
    Worker.objects.create(
        id="wrk_1",
        host="here",
        pid=1,
        queues="default,other",
        started_at=workflows.now,
        heartbeat_at=workflows.now,
    )
    rows = numbers(panel(admin_client, "queues"))
    assert [row[0] for row in rows] == ["default", "mail no worker serves it"]
    assert [row[1:] for row in rows] == [["1", "0", "5 min"], ["2", "0", "7 min"]]
    html = panel(admin_client, "numbers")
    assert "Oldest waiting run 7 min in queue mail" in text_of(html)
    assert run_url(oldest) in html


def test_open_runs_are_counted_and_lead_to_their_list(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    start(wait)
    workflows.run_until_idle()
    nap.options(delay="1d").start()
    html = panel(admin_client, "numbers")
    assert "Now pending 1 Now running 1 Now paused 0" in text_of(html)
    for status in ("pending", "running", "paused"):
        assert f'href="{RUNS}?status={status}"' in html
        assert admin_client.get(f"{RUNS}?status={status}").status_code == 200


def test_schedules_due_next_are_told(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    create_schedule("later", wait, at=workflows.now + timedelta(hours=3))
    create_schedule("soon", wait, at=workflows.now + timedelta(hours=1))
    create_schedule("never", wait, interval="1h").pause()
    Schedule.objects.filter(name="soon").update(last_error="no card 4711")
    rows = numbers(panel(admin_client, "schedules"))
    assert [row[0] for row in rows] == ["soon no card 4711", "later"]
    assert {row[1] for row in rows} == {"boards.wait"}
    few = client_of(user_with("view_run", "view_schedule"))
    html = panel(few, "schedules")
    assert "4711" not in html
    assert "The last start failed." in html


def test_workers_are_told_with_heartbeat_and_load(admin_client: Client) -> None:
    now = timezone.now()
    for number, age in enumerate((1, 300)):
        Worker.objects.create(
            id=f"wrk_{number}",
            host="here",
            pid=1000 + number,
            queues="default,mail",
            runs=3,
            steps=4,
            started_at=now - timedelta(hours=number + 1),
            heartbeat_at=now - timedelta(seconds=age),
        )
    Worker.objects.create(
        id="wrk_gone",
        host="gone",
        pid=1,
        started_at=now,
        heartbeat_at=now,
        stopped_at=now,
    )
    alive, silent = numbers(panel(admin_client, "workers"))
    assert alive[:5] == ["here:1000", "alive", "default, mail", "3", "4"]
    assert silent[0] == "here:1001"
    assert silent[1].startswith("silent for 5 min")
    assert "Workers alive 1" in text_of(panel(admin_client, "numbers"))


# -- very much ------------------------------------------------------------------------


def test_too_many_runs_are_estimated(
    admin_client: Client,
    workflows: WorkflowTester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for customer in range(12):
        start(serve, customer if customer % 3 else -1)
    workflows.run_until_idle()
    Run.objects.update(created_at=workflows.now)
    exact = numbers(panel(admin_client, "starts"))
    monkeypatch.setattr(activity, "EXACT", 11)
    html = panel(admin_client, "starts")
    assert "There are too many to count: estimated from 12 runs." in html
    # All of their events were read: here the estimate is exact.
    assert numbers(html) == exact
    assert "Runs started about 12" in text_of(panel(admin_client, "numbers"))


def test_drawings_are_svg_in_every_language(
    admin_client: Client, workflows: WorkflowTester, settings: Any
) -> None:
    settings.LANGUAGE_CODE = "de"
    settings.USE_THOUSAND_SEPARATOR = True
    settings.NUMBER_GROUPING = 1
    start(serve, 1)
    workflows.run_until_idle()
    html = panel(admin_client, "starts")
    assert 'viewBox="0 0 960 200"' in html
    found = re.findall(r'\b(x|y|x1|x2|y1|y2|width|height)="([^"]*)"', html)
    assert len(found) > 20
    assert [value for _, value in found if not re.fullmatch(r"[\d.]+", value)] == []
    points = panel(admin_client, "throughput")
    assert re.search(r'points="(\d+(\.\d+)?,\d+(\.\d+)? ?){24}"', points)
