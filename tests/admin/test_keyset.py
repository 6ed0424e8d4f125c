"""Lists of any length: pages behind each other, with no row counted or skipped."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from itertools import chain
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_workflows import start_many, workflow
from django_workflows.admin.runs.list import RunList
from django_workflows.models import Run

pytestmark = pytest.mark.django_db

URL = "admin:django_workflows_run_changelist"
RUNS = 23


@workflow
async def counted(number: int) -> None:
    """Has nothing to do."""


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunList, "list_per_page", 5)


@pytest.fixture
def newest_first() -> list[str]:
    """The ids of runs of which some are equally old, in the order of the list."""
    start_many(counted, [(number,) for number in range(RUNS)])
    for number, run in enumerate(Run.objects.order_by("id")):
        created_at = datetime(2026, 1, 1 + number // 7, tzinfo=UTC)
        status = "failed" if number % 2 else "completed"
        Run.objects.filter(pk=run.pk).update(created_at=created_at, status=status)
    return [str(run.pk) for run in Run.objects.order_by("-created_at", "-id")]


def page(client: Client, query: str = "") -> tuple[list[str], dict[str, str], str]:
    """The ids on a page, its links to others by what they say, and all its text."""
    answer = client.get(reverse(URL) + query)
    assert answer.status_code == 200
    text = answer.content.decode()
    ids = re.findall(r'name="_selected_action" value="(.+?)"', text) or re.findall(
        r'class="dw-run-id">(\w+)<', text
    )
    links = re.search(r'<p class="paginator">(.+?)</p>', text, re.DOTALL)
    assert links is not None
    found = re.findall(r'<a href="(.*?)".*?>(.+?)</a>', links[1])
    return ids, {unescape(said).strip("‹› "): unescape(to) for to, said in found}, text


def walk(client: Client, query: str, direction: str) -> tuple[list[list[str]], str]:
    """The pages from one on, as far as they go, and the address of the last."""
    pages = []
    while True:
        ids, links, _ = page(client, query)
        pages.append(ids)
        if direction not in links:
            return pages, query
        query = links[direction]


def test_rows_of_several_kinds_are_in_one_order(
    admin_client: Client, newest_first: list[str]
) -> None:
    Run.objects.filter(pk__in=newest_first[::3]).update(status="timed_out")
    Run.objects.filter(pk__in=newest_first[1::3]).update(status="failed")
    Run.objects.filter(pk__in=newest_first[2::3]).update(status="completed")
    expected = [pk for number, pk in enumerate(newest_first) if number % 3 < 2]
    there, last = walk(admin_client, "?status=failed%2Ctimed_out", "Next page")
    assert list(chain(*there)) == expected
    assert [len(ids) for ids in there] == [5, 5, 5, 1]
    back, _first = walk(admin_client, last, "Previous page")
    assert back[::-1] == there


def test_pages_follow_each_other_in_both_directions(
    admin_client: Client, newest_first: list[str]
) -> None:
    there, last = walk(admin_client, "", "Next page")
    assert [len(ids) for ids in there] == [5, 5, 5, 5, 3]
    assert list(chain(*there)) == newest_first
    back, first = walk(admin_client, last, "Previous page")
    assert back[::-1] == there
    # What has come meanwhile is before the first page, too.
    start_many(counted, [(0,)])
    ids, links, _ = page(admin_client, first)
    assert "Previous page" in links
    assert ids == newest_first[:5]
    ids, links, _ = page(admin_client, links["Previous page"])
    assert len(ids) == 1
    assert "Previous page" not in links
    assert page(admin_client, links["First page"])[0][1:] == newest_first[:4]


def test_filters_and_search_go_with_the_pages(
    admin_client: Client, newest_first: list[str]
) -> None:
    failed = set(Run.objects.filter(status="failed").values_list("pk", flat=True))
    there, last = walk(admin_client, "?status=failed", "Next page")
    assert list(chain(*there)) == [pk for pk in newest_first if pk in failed]
    assert "status=failed" in last
    # Another filter begins at the first page.
    _, _, text = page(admin_client, last)
    others = re.findall(r'<a href="(\?status=.*?)"', text)
    assert len(others) > 3
    assert not [url for url in others if "p=" in url]
    ids, links, _ = page(admin_client, f"?q={newest_first[0]}")
    assert ids == newest_first[:1]
    assert not links


def test_only_what_is_on_the_page_is_read(
    admin_client: Client, newest_first: list[str]
) -> None:
    def statements(query: str) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            _, _, text = page(admin_client, query)
        assert "total" not in text
        assert "Show all" not in text
        assert f"{RUNS} runs" not in text
        return [each["sql"] for each in queries]

    _, last = walk(admin_client, "", "Next page")
    first = statements("")
    assert len(statements(last)) == len(first)
    for sql in first + statements(last) + statements("?q=wrun&status=failed"):
        if "django_workflows_run" in sql:
            assert "OFFSET" not in sql
            assert "COUNT(" not in sql
            assert "LIMIT" in sql or "WITH RECURSIVE" in sql


def test_the_page_says_how_much_is_on_it(
    admin_client: Client, newest_first: list[str]
) -> None:
    assert "5 on this page" in page(admin_client)[2]
    text = page(admin_client, "?q=nothing")[2]
    assert "No runs match." in text
    assert "0 on this page" not in text
    Run.objects.all().delete()
    assert "There are no runs." in page(admin_client)[2]


@pytest.mark.parametrize("place", ["", "2", "last", "WyJuIiwgMV0=", "%00", "é" * 9])
def test_a_page_that_is_none_leads_to_the_first(
    admin_client: Client, newest_first: list[str], place: str
) -> None:
    answer: Any = admin_client.get(reverse(URL) + f"?p={place}", follow=True)
    assert answer.redirect_chain == [(reverse(URL) + "?e=1", 302)]
    assert newest_first[0] in answer.content.decode()
