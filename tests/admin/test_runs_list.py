"""The list of runs: what it shows, and by what it can be narrowed."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries

from django_workflows import sleep, start, start_many, workflow
from django_workflows.admin.addresses import run_url
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, user_with

pytestmark = pytest.mark.django_db

URL = "admin:django_workflows_run_changelist"


@workflow
async def quiet(text: str = "") -> str:
    return text


@workflow(aliases=["old_name"])
async def renamed() -> None:
    """Was called otherwise once."""


@workflow
async def sleeping() -> None:
    await sleep("1d")


@workflow
async def guilty(secret: str) -> None:
    random.seed(secret)
    await sleep("1d")
    raise AssertionError


def rows(client: Client, **query: Any) -> list[str]:
    """The ids on the page for some parameters."""
    return re.findall(r'class="dw-run-id">(\w+)<', html_of(client, **query))


def html_of(client: Client, **query: Any) -> str:
    """The list for some parameters."""
    answer = client.get(reverse(URL) + "?" + urlencode(query))
    assert answer.status_code == 200
    return answer.content.decode()


def choices(text: str, title: str) -> list[str]:
    """What a filter offers."""
    part = re.search(rf'data-filter-title="{title}".*?</details>', text, re.DOTALL)
    if part is None:
        return []
    return [
        unescape(each) for each in re.findall(r'<a href="\?[^>]*>(.*?)</a>', part[0])
    ]


def test_a_row_says_how_a_run_stands(
    workflows: WorkflowTester, admin_client: Client
) -> None:
    run: Run = sleeping.options(
        key="order-7",
        queue="mail",
        attributes={"customer": 7, "vip": True, "to": "a&b"},
    ).start()
    workflows.run_until_idle()
    Run.objects.filter(pk=run.pk).update(
        version="3", started_at=now() - timedelta(days=2, hours=4, minutes=20)
    )
    text = html_of(admin_client)
    row = re.search(r"<tbody>.*</tbody>", text, re.DOTALL)
    assert row is not None
    said = unescape(re.sub(r"<.*?>|\s+", " ", row[0]))
    for part in (sleeping.name, " 3 ", run.pk, "order-7", "mail", "waiting", "2 d 4 h"):
        assert part in said
    for name, value in {"customer": 7, "vip": "true", "to": "a&b"}.items():
        assert f"{name}={value}" in said
        link = urlencode({f"attributes.{name}": value})
        assert f'href="?{link}"' in row[0]
        assert rows(admin_client, **{f"attributes.{name}": value}) == [run.pk]
    page = run_url(run)
    assert f'href="{page}"' in row[0]


def test_what_blocks_a_run_is_shown_to_those_who_may_see_payloads(
    workflows: WorkflowTester,
    client: Client,
    admin_client: Client,
) -> None:
    run = start(guilty, "sesame")
    start(sleeping)
    workflows.run_until_idle()
    run.refresh_from_db()
    reason = run.blocked_reason.partition("\n")[0]
    assert reason
    text = unescape(html_of(admin_client))
    assert text.count("dw-status-blocked") == 1
    assert reason[:60] in text
    assert rows(admin_client, blocked="yes") == [run.pk]
    text = unescape(html_of(client_of(user_with("view_run"))))
    assert text.count("dw-status-blocked") == 1
    assert reason[:20] not in text
    run.terminate()
    assert rows(admin_client, blocked="yes") == []
    assert "dw-status-blocked" not in html_of(admin_client)


def test_filters_leave_the_runs_that_are_meant(admin_client: Client) -> None:
    first: Run = quiet.options(
        queue="mail", attributes={"plan": "free", "size": 2}
    ).start()
    second: Run = quiet.options(attributes={"plan": "free", "size": "2"}).start()
    third: Run = renamed.start()
    Run.objects.filter(pk=first.pk).update(status="failed", version="1")
    Run.objects.filter(pk=third.pk).update(workflow="old_name")
    everything = [third.pk, second.pk, first.pk]
    for query, expected in {
        (): everything,
        (("status", "failed"),): [first.pk],
        (("status", "pending"),): [third.pk, second.pk],
        (("queue", "mail"),): [first.pk],
        (("queue", "none"),): [],
        (("version", "1"),): [first.pk],
        (("workflow", quiet.name), ("version", "1")): [first.pk],
        (("workflow", quiet.name),): [second.pk, first.pk],
        (("workflow", renamed.name),): [third.pk],
        (("attributes.plan", "free"),): [second.pk, first.pk],
        (("attributes.plan", "free"), ("queue", "mail")): [first.pk],
        (("attributes.size", "2"),): [second.pk, first.pk],
        (("attributes.size", "2"), ("attributes.plan", "gold")): [],
        (("blocked", "yes"),): [],
    }.items():
        assert rows(admin_client, **dict(query)) == expected, query


def test_filters_by_time(admin_client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    runs = start_many(quiet, [("a",), ("b",), ("c",)])
    times = [
        now() - timedelta(minutes=30),
        now() - timedelta(hours=30),
        datetime(2025, 7, 1, 10, 30, tzinfo=UTC),
    ]
    for run, created_at in zip(runs, times, strict=True):
        Run.objects.filter(pk=run.pk).update(created_at=created_at)
    recent, elder, old = (run.pk for run in runs)
    assert rows(admin_client) == [recent, elder, old]
    assert rows(admin_client, created_within="1h") == [recent]
    assert rows(admin_client, created_within="2d") == [recent, elder]
    # What the form sends is local time: 12:30 in Berlin is 10:30 in UTC.
    assert rows(
        admin_client,
        created_after="2025-07-01T12:29",
        created_before="2025-07-01T12:31",
    ) == [old]
    assert rows(admin_client, created_before="2025-07-01T12:29", created_after="") == []
    assert rows(admin_client, created_before="2025-07-01T10:31:00Z") == [old]
    text = html_of(
        admin_client, created_before="2025-07-01T10:31:00Z", status="pending", q="x"
    )
    assert 'name="created_before" value="2025-07-01T12:31"' in text
    assert '<input type="hidden" name="status" value="pending">' in text
    text = html_of(admin_client, created_after="2025-07-01T10:30:59.25Z")
    assert 'name="created_after" value="2025-07-01T12:30:59.250"' in text


def test_filters_offer_what_there_is(admin_client: Client) -> None:
    start_many(quiet.options(queue="mail"), [("a",), ("b",)])
    start_many(quiet.options(queue="art"), [("a",)])
    start(renamed)
    Run.objects.for_workflow(renamed).update(workflow="old_name")
    Run.objects.filter(queue="art").update(workflow="gone.from.the.code")
    Run.objects.filter(queue="mail").update(version="2026-1")
    text = html_of(admin_client)
    assert choices(text, "queue") == ["All", "art", "default", "mail"]
    offered = choices(text, "workflow")
    assert {quiet.name, renamed.name, "gone.from.the.code"} <= set(offered)
    assert offered[1:] == sorted(offered[1:])
    assert "old_name" not in offered
    assert sleeping.name not in offered  # of which there is no run
    assert choices(text, "version") == []
    text = html_of(admin_client, workflow=quiet.name)
    assert choices(text, "version") == ["All", "2026-1"]
    assert choices(text, "attribute") == ["All"]
    # What is chosen can be unchosen, even if there is none of it.
    text = html_of(admin_client, queue="none", **{"attributes.customer": "7"})
    assert choices(text, "queue") == ["All", "art", "default", "mail", "none"]
    assert choices(text, "attribute") == ["All", "customer = 7"]


def test_a_form_finds_runs_by_an_attribute(admin_client: Client) -> None:
    run: Run = quiet.options(queue="mail", attributes={"to": "a&b", "size": 2}).start()
    start(quiet.options(queue="mail", attributes={"to": "c", "size": 2}))
    text = html_of(admin_client, queue="mail", e="1", **{"attributes.size": "2"})
    form = text.partition('name="attribute_name"')[0].rpartition("<form")[2]
    kept = dict(re.findall(r'name="(.*?)" value="(.*?)"', form))
    assert kept == {"queue": "mail", "attributes.size": "2"}

    def found(name: str, value: str, **others: str) -> dict[str, str]:
        sent = {"attribute_name": name, "attribute_value": value, **others}
        answer: Any = admin_client.get(reverse(URL), sent)
        return dict(parse_qsl(urlsplit(answer.url).query, keep_blank_values=True))

    query = found("to ", " a&b", **kept)
    assert query == {**kept, "attributes.to": "a&b"}
    assert rows(admin_client, **query) == [run.pk]
    # What was chosen before gives way, and nothing changes nothing.
    assert found("to", "c", **query) == {**kept, "attributes.to": "c"}
    assert found(" ", "c", **kept) == kept


@pytest.mark.parametrize(
    "query",
    [
        {"status": "sideways"},
        {"blocked": "no"},
        {"created_within": "soon"},
        {"created_within": "999999d"},
        {"created_after": "yesterday"},
        {"created_before": "9999-12-31T23:59:59-12:00"},
        {"queue": "a\0b"},
        {"version": "a\0b"},
        {"workflow": "a\0b"},
        {"attributes.a": "a\0b"},
        {"attributes.a\0": "b"},
        {"attribute_value": "b"},
        {"nothing": "known"},
    ],
)
def test_what_means_nothing_leads_back_to_all_runs(
    admin_client: Client, query: dict[str, str]
) -> None:
    run = start(quiet)
    answer: Any = admin_client.get(reverse(URL), query, follow=True)
    assert answer.redirect_chain == [(reverse(URL) + "?e=1", 302)]
    assert run.pk in answer.content.decode()


def test_search_finds_ids_keys_and_attributes(admin_client: Client) -> None:
    first: Run = quiet.options(key="order 7", attributes={"customer": 7}).start()
    second: Run = quiet.options(key="customer=7").start()
    third: Run = quiet.options(attributes={"customer": "a=b", "to": "x y"}).start()
    for text, expected in {
        first.pk: [first.pk],
        f"  {first.pk}\n": [first.pk],
        first.pk[:6]: [third.pk, second.pk, first.pk],
        "wrun_%": [],
        "order 7": [first.pk],
        "order": [],
        # A key comes first.
        "customer=7": [second.pk],
        "customer = 7": [first.pk],
        "customer=a=b": [third.pk],
        "to=x y": [third.pk],
        "to=x": [],
        "=": [],
        " ": [third.pk, second.pk, first.pk],
    }.items():
        found = rows(admin_client, q=text)
        assert found == [pk for pk in (third.pk, second.pk, first.pk) if pk in expected]


def test_attributes_may_have_any_name(admin_client: Client) -> None:
    for name in ("a__b", "status", "run.id", "p", "größe &=?"):
        run: Run = quiet.options(attributes={name: "x y"}).start()
        quiet.options(attributes={f"{name}2": "x y"}).start()
        assert rows(admin_client, **{f"attributes.{name}": "x y"}) == [run.pk]
        link = re.search(
            rf'href="(\?attributes[^"]*)">{re.escape(name.replace("&", "&amp;"))}=x y<',
            html_of(admin_client),
        )
        assert link is not None
        answer = admin_client.get(reverse(URL) + unescape(link[1]))
        assert answer.content.decode().count('class="dw-run-id"') == 1


def test_the_way_to_start_a_run_is_shown_to_those_who_may(
    admin_client: Client,
) -> None:
    url = f'href="{reverse("admin:django_workflows_run_start")}"'
    assert url in html_of(admin_client)
    assert url not in html_of(client_of(user_with("view_run")))


def test_the_list_follows_open_runs(
    workflows: WorkflowTester, admin_client: Client
) -> None:
    run = start(sleeping)
    workflows.run_until_idle()
    text = html_of(admin_client)
    assert "data-live-page" in text
    for part in ("status", "duration", "details"):
        assert re.search(rf'id="{run.pk}-{part}"[^>]* data-live', text)
    run.terminate()
    assert "data-live-page" not in html_of(admin_client)


def test_the_number_of_queries_does_not_grow(
    workflows: WorkflowTester,
    admin_client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    def add(count: int) -> None:
        for number in range(count):
            options = {"queue": f"q{number}", "attributes": {"number": number}}
            sleeping.options(**options).start()
        workflows.run_until_idle()

    add(1)
    html_of(admin_client)  # the content types are known from here on
    # Session, user, time, two filters, the page, and who of it waits for payloads.
    with django_assert_num_queries(7):
        html_of(admin_client)
    add(30)
    with django_assert_num_queries(7):
        html_of(admin_client)
    with django_assert_num_queries(9):  # the versions, and the time of the filter
        html_of(
            admin_client,
            workflow=sleeping.name,
            status="running",
            queue="q1",
            created_within="1h",
            **{"attributes.number": 1},
        )


def test_nobody_adds_or_deletes_runs_here(
    admin_client: Client,
) -> None:
    run = start(quiet)
    for name, args in (("add", []), ("delete", [run.pk])):
        url = reverse(f"admin:django_workflows_run_{name}", args=args)
        assert admin_client.get(url).status_code == 403
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
    assert Run.objects.filter(pk=run.pk).exists()
    assert "delete_selected" not in html_of(admin_client)
    assert client_of(user_with()).get(reverse(URL)).status_code == 403


def test_filters_are_found_by_the_names_that_django_would_give(
    admin_client: Client,
) -> None:
    run, other = start(quiet), start(sleeping)
    other.terminate()
    assert rows(admin_client, status__exact="terminated") == [other.pk]
    text = html_of(admin_client, status__exact="pending", queue__exact="default")
    assert run.pk in text
    assert other.pk not in text
    assert "__exact" not in text
