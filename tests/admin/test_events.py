"""The event log in the page of a run, and the pages of events."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from django_workflows import get_run, resume_hook, start
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, queries_of, run_url, text_of, user_with
from tests.admin.panels import doubling, links, panel, part, two_steps

pytestmark = pytest.mark.django_db


def entries(html: str) -> list[tuple[str, str]]:
    """Number and type of the events shown."""
    rows = re.findall(r"<tr[^>]*>\s*<td(.*?)</tr>", html, re.DOTALL)
    cells = [re.findall(r"(?:^|<td)[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [(text_of(row[0]), text_of(row[2])) for row in cells]


def numbers(html: str) -> list[int]:
    return [int(number) for number, _ in entries(html)]


def event_url(event: Event) -> str:
    return reverse("admin:django_workflows_event_change", args=[event.pk])


def test_the_log_is_shown_in_order(admin_client: Client, shopping: Run) -> None:
    html = panel(admin_client, shopping, "events")
    shown = entries(html)
    stored = Event.objects.filter(run=shopping).order_by("seq")
    assert shown == [(str(event.seq), event.type) for event in stored]
    text = text_of(html)
    assert "panels.flaky" in text
    assert "paid by ada" in text
    timer = Event.objects.get(run=shopping, type="wait_created")
    over = timer.created_at + timedelta(seconds=7)
    assert f'"due": "{over.isoformat(" ")}"' in text


def test_tokens_are_not_in_it(admin_client: Client, shopping: Run) -> None:
    page = admin_client.get(run_url(shopping)).content.decode()
    assert "very-secret-token" not in page
    hook = Event.objects.get(run=shopping, type="hook_created")
    assert "very-secret-token" not in admin_client.get(event_url(hook)).content.decode()


def test_events_are_chosen_by_type(admin_client: Client, shopping: Run) -> None:
    html = panel(admin_client, shopping, "events", type="step_retrying", step="kept")
    assert {kind for _, kind in entries(html)} == {"step_retrying"}
    assert len(entries(html)) == 3
    assert "<option selected>step_retrying</option>" in html
    assert '<input type="hidden" name="step" value="kept">' in html
    assert links(html)["Show all"] == f"{run_url(shopping)}?step=kept#events"
    assert "no such event" in panel(
        admin_client, shopping, "events", type="run_timed_out"
    )
    assert len(entries(panel(admin_client, shopping, "events", type="x"))) > 10


def test_events_are_chosen_by_what_they_are_about(
    admin_client: Client, shopping: Run
) -> None:
    url = links(panel(admin_client, shopping, "events"))["panels.refused"]
    html = part(admin_client.get(url.partition("#")[0]).content.decode(), "events")
    assert [kind for _, kind in entries(html)] == [
        "step_created",
        "step_started",
        "step_retrying",
        "step_started",
        "step_failed",
    ]
    assert "Only what concerns panels.refused." in text_of(html)
    nobody = panel(admin_client, shopping, "events", of='"><script>\0')
    assert "<script>" not in nobody


def test_the_log_comes_in_pages(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(doubling, 40)
    workflows.run_until_idle()
    total = Event.objects.filter(run=run).count()
    html = panel(admin_client, run, "events")
    assert numbers(html) == list(range(1, 51))
    pages = links(html)
    assert "Previous" not in pages
    html = panel(admin_client, run, "events", after="50")
    assert numbers(html) == list(range(51, 101))
    assert pages["Next"] == f"{run_url(run)}?after=50#events"
    assert links(html)["Previous"] == f"{run_url(run)}?before=51#events"
    last = pages["Last"].partition("#")[0]
    html = part(admin_client.get(last).content.decode(), "events")
    assert numbers(html) == list(range(total - 49, total + 1))
    assert numbers(panel(admin_client, run, "events", before="51")) == [*range(1, 51)]
    assert numbers(panel(admin_client, run, "events", after="x"))[0] == 1


def test_a_long_log_takes_as_many_queries_as_a_short_one(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    few, many = start(doubling, 2), start(doubling, 60)
    workflows.run_until_idle()
    urls = [run_url(few), run_url(many), f"{run_url(many)}?after=100&type=step_created"]
    assert len({queries_of(admin_client, url) for url in urls}) == 1


def test_what_nobody_has_taken_in_yet_is_there(
    admin_client: Client, shopping: Run
) -> None:
    resume_hook("very-secret-token", {"answer": "the payload"})
    html = panel(admin_client, shopping, "events")
    assert entries(html)[-1] == ("–", "hook_received")
    assert "Not taken in yet" in html
    assert "the payload" in html
    event = Event.objects.get(run=shopping, seq=None)
    text = text_of(admin_client.get(event_url(event)).content.decode())
    assert "none: not taken in yet" in text


def test_what_a_retry_has_undone_is_crossed_out(
    admin_client: Client, workflows: WorkflowTester, broken: set[str]
) -> None:
    broken.add("second")
    run = start(two_steps)
    workflows.run_until_idle()
    broken.clear()
    get_run(run.pk).retry()
    workflows.run_until_idle()
    html = panel(admin_client, run, "events")
    void = re.findall(r'<tr role="row" class="dw-void">.*?</tr>', html, re.DOTALL)
    assert [kind for _, kind in entries("".join(void))] == [
        "step_failed undone by a retry",
        "run_failed undone by a retry",
    ]


def test_who_may_not_see_payloads_sees_none(shopping: Run) -> None:
    client = client_of(user_with("view_run", "view_event"))
    html = panel(client, shopping, "events")
    pages = [html]
    for event in Event.objects.filter(run=shopping):
        answer = client.get(event_url(event))
        assert answer.status_code == 200
        pages.append(answer.content.decode())
    for page in pages:
        for secret in ("ada", "sesame", "no credit", "the boss", "Traceback"):
            assert secret not in page
    assert html.count("You may not see payloads.") > 5


def test_what_is_named_secret_is_hidden(admin_client: Client, shopping: Run) -> None:
    (event,) = Event.objects.filter(run=shopping, type="step_created", seq__lt=4)
    failed = Event.objects.filter(run=shopping, type="step_retrying").first()
    assert failed is not None
    with override_settings(WORKFLOWS={"REDACT": ["password"]}):
        pages = [
            panel(admin_client, shopping, "events"),
            *(
                admin_client.get(event_url(each)).content.decode()
                for each in (event, failed)
            ),
        ]
    assert all("sesame" not in page and "[redacted]" in page for page in pages)


def test_an_event_has_a_page(admin_client: Client, shopping: Run) -> None:
    failed = Event.objects.get(run=shopping, type="step_failed")
    seq = failed.seq or 0
    html = admin_client.get(event_url(failed)).content.decode()
    text = text_of(html)
    assert f"Number {seq} Type step_failed About {failed.correlation_id}" in text
    assert '"message": "no credit at all"' in text
    assert "Traceback (most recent call last)" in text
    beside = links(html)
    neighbours = Event.objects.filter(run=shopping, seq__in=(seq - 1, seq + 1))
    before, after = neighbours.order_by("seq")
    assert (beside["Previous"], beside["Next"]) == (event_url(before), event_url(after))
    assert beside["All events of the run"].startswith(f"{run_url(shopping)}?after=")
    assert run_url(shopping) in beside.values()
    first = links(
        admin_client.get(
            event_url(Event.objects.get(run=shopping, seq=1))
        ).content.decode()
    )
    assert "Previous" not in first


def test_nobody_changes_an_event(admin_client: Client, shopping: Run) -> None:
    event = Event.objects.get(run=shopping, type="step_failed")
    before = Event.objects.filter(pk=event.pk).values().get()
    answer = admin_client.post(event_url(event), {"type": "step_completed", "seq": 1})
    assert answer.status_code == 403
    delete = reverse("admin:django_workflows_event_delete", args=[event.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    assert (
        admin_client.get(reverse("admin:django_workflows_event_add")).status_code == 403
    )
    assert Event.objects.filter(pk=event.pk).values().get() == before


def test_who_may_not_see_events_gets_no_links_to_them(shopping: Run) -> None:
    client = client_of(user_with("view_run"))
    event = Event.objects.filter(run=shopping)[0]
    assert client.get(event_url(event)).status_code == 403
    assert "/event/" not in panel(client, shopping, "events")


def test_the_event_of_a_run_that_is_gone_is_shown(
    admin_client: Client, shopping: Run
) -> None:
    event = Event.objects.get(run=shopping, seq=1)
    Run.objects.filter(pk=shopping.pk)._raw_delete("default")
    text = text_of(admin_client.get(event_url(event)).content.decode())
    assert f"Run {shopping.pk} Number 1" in text
