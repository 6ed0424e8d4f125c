"""The list of runs: its order, its pages and its filters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from django_workflows import start, start_many
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.api.conftest import API
from tests.api.workflows import paying, plain, sleeping, waiting


def listed(client: APIClient, **filters: Any) -> list[str]:
    answer = client.get(f"{API}runs/?{urlencode(filters)}")
    assert answer.status_code == 200, answer.content
    return [run["id"] for run in answer.json()["results"]]


def pages(client: APIClient, url: str, link: str = "next") -> list[list[str]]:
    """The ids of every page, from this one on."""
    found = []
    following: str | None = url
    while following:
        answer = client.get(following).json()
        found.append([run["id"] for run in answer["results"]])
        following = answer[link]
    return found


@pytest.fixture
def many(db: Any) -> list[str]:
    """Seven runs in the order of the list, most of them started at the same time."""
    start(plain, 1)
    start_many(plain, [(1,)] * 5)
    start(plain, 1)
    return list(Run.objects.order_by("created_at", "id").values_list("id", flat=True))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_pages_follow_each_other_without_gap_or_repetition(
    staff: APIClient, many: list[str], size: int
) -> None:
    url = f"{API}runs/?page_size={size}"
    forward = pages(staff, url)
    assert forward == [many[i : i + size] for i in range(0, 7, size)]
    turned = pages(staff, f"{url}&ordering=-created_at")
    assert [run for page in turned for run in page] == many[::-1]


@pytest.mark.parametrize("ordering", ["created_at", "-created_at"])
def test_the_way_back_is_the_way_there(
    staff: APIClient, many: list[str], ordering: str
) -> None:
    url = f"{API}runs/?page_size=2&ordering={ordering}"
    answers = [staff.get(url).json()]
    while answers[-1]["next"]:
        answers.append(staff.get(answers[-1]["next"]).json())
    back = staff.get(answers[-1]["previous"]).json()
    for before in answers[-2::-1]:
        assert back["results"] == before["results"]
        assert back["next"]
        assert bool(back["previous"]) == bool(before["previous"])
        back = staff.get(back["previous"]).json() if back["previous"] else back


def test_pages_of_several_statuses_are_in_one_order(
    staff: APIClient, many: list[str]
) -> None:
    Run.objects.filter(pk__in=many[1::3]).update(status="failed")
    Run.objects.filter(pk__in=many[2::3]).update(status="timed_out")
    expected = [many[1], many[2], many[4], many[5]]
    url = f"{API}runs/?page_size=3&status=timed_out,failed,timed_out"
    assert pages(staff, url) == [expected[:3], expected[3:]]
    turned = pages(staff, f"{url}&ordering=-created_at")
    assert turned == [expected[:0:-1], expected[:1]]
    last = staff.get(url).json()["next"]
    assert pages(staff, last, "previous") == [expected[3:], expected[:3]]


def test_what_is_started_meanwhile_is_on_the_last_page(
    staff: APIClient, many: list[str]
) -> None:
    first = staff.get(f"{API}runs/?page_size=6").json()
    new = start(plain, 1)
    rest = pages(staff, first["next"])
    assert rest == [[many[6], new.pk]]


def test_links_keep_the_filters(staff: APIClient, many: list[str]) -> None:
    start(sleeping)
    url = f"{API}runs/?page_size=4&workflow=api.plain&status=pending"
    assert [run for page in pages(staff, url) for run in page] == many


def test_a_page_has_100_runs_and_at_most_1000(staff: APIClient) -> None:
    start_many(plain, [(1,)] * 1001)
    assert len(listed(staff)) == 100
    assert len(listed(staff, page_size=5000)) == 1000


def test_a_list_needs_as_many_queries_for_many_runs_as_for_few(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    queries = []
    for count in (1, 30):
        for _ in range(count):
            start(paying.options(attributes={"customer": 1}), "1")
        workflows.run_until_idle()
        with CaptureQueriesContext(connection) as captured:
            assert listed(staff, **{"attributes.customer": 1, "page_size": 20})
        queries.append(len(captured))
    # One for the session, one for its user, one for the page.
    assert queries == [3, 3]


def test_every_filter_leaves_what_it_names(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    done = start(plain.options(key="a b"), 1)
    workflows.run_until_idle()
    other = start(sleeping.options(queue="slow"))
    last = start(waiting.options(key="c"))
    Run.objects.filter(pk=done.pk).update(
        created_at=last.created_at - timedelta(days=2)
    )
    Run.objects.filter(pk=other.pk).update(
        created_at=last.created_at - timedelta(days=1)
    )
    middle = (last.created_at - timedelta(days=1)).isoformat()
    assert listed(staff) == [done.pk, other.pk, last.pk]
    assert listed(staff, status="completed") == [done.pk]
    assert listed(staff, status="paused") == []
    assert listed(staff, status="completed,running") == [done.pk]
    assert listed(staff, status="pending,completed") == [done.pk, other.pk, last.pk]
    assert listed(staff, status="completed,completed") == [done.pk]
    assert listed(staff, workflow="api.sleeping") == [other.pk]
    assert listed(staff, workflow="unknown") == []
    assert listed(staff, key="a b") == [done.pk]
    assert listed(staff, queue="slow") == [other.pk]
    assert listed(staff, created_after=middle) == [other.pk, last.pk]
    assert listed(staff, created_before=middle) == [done.pk, other.pk]
    assert listed(staff, created_after=middle, created_before=middle) == [other.pk]
    assert listed(staff, status="pending", queue="default") == [last.pk]
    # As an empty field of a form sends it.
    assert listed(staff, status="", workflow="api.plain", key="") == [done.pk]


@pytest.mark.parametrize(
    ("asked", "matching"),
    [
        ("7", {"number", "text", "float"}),
        ("7.0", {"number", "float"}),
        ("08", {"eight"}),
        ("true", {"yes", "yes-text"}),
        ("1", {"one"}),
        ("null", {"null"}),
        ("Ünï 'quoted' \"twice\"", {"odd"}),
        ("[7]", set()),
        ('{"a":1}', set()),
        ("NaN", set()),
        ("1e400", set()),
        ("9" * 5000, set()),
        ("[" * 5000, set()),
        ("", {"empty"}),
    ],
)
def test_an_attribute_matches_the_text_and_the_value_it_writes(
    staff: APIClient, asked: str, matching: set[str]
) -> None:
    values = {
        "number": 7,
        "text": "7",
        "float": 7.0,
        "eight": "08",
        "yes": True,
        "yes-text": "true",
        "one": 1,
        "null": None,
        "odd": "Ünï 'quoted' \"twice\"",
        "list": [7],
        "object": {"a": 1},
        "empty": "",
    }
    runs = {
        start(sleeping.options(attributes={"value": value, "other": 7})).pk: name
        for name, value in values.items()
    }
    start(sleeping)
    found = listed(staff, **{"attributes.value": asked})
    assert {runs[run] for run in found} == matching


@pytest.mark.parametrize("name", ["7", "a.b", "a__b", "a b", "Ü", "", "$", "a'b"])
def test_an_attribute_may_have_any_name(staff: APIClient, name: str) -> None:
    run = start(sleeping.options(attributes={name: "x", "more": 1}))
    start(sleeping.options(attributes={"else": "x"}))
    assert listed(staff, **{f"attributes.{name}": "x"}) == [run.pk]
    assert listed(staff, **{f"attributes.{name}": "y"}) == []
    both = {f"attributes.{name}": "x", "attributes.more": "1"}
    assert listed(staff, **both) == [run.pk]
    assert listed(staff, **{**both, "attributes.more": "2"}) == []


@pytest.mark.parametrize(
    "query",
    [
        "status=unknown",
        "status=Completed",
        "status=completed,unknown",
        "status=completed,%20failed",
        "status=completed,",
        "status=,",
        "status=%00",
        "created_after=yesterday",
        "created_before=2024-13-01",
        "created_after=0001-01-01T00:00:00%2B14:00",
        "created_before=9999-12-31T23:59:59-14:00",
        "page_size=0",
        "page_size=-1",
        "page_size=ten",
        "page_size=",
        "page_size=%C2%B2",
        "ordering=status",
        "cursor=",
        "cursor=x",
        "cursor=%F0%9F%A6%8A",
        "cursor=WyJuIl0=",
        "cursor=bnVsbA==",
        "cursor=WyJuIiwgIngiLCAieSJd",
        "cursor=" + "W1tb" * 1500,
        "workflow=%00",
        "key=%00",
        "queue=%00",
        "attributes.a=%00",
        "attributes.%00=a",
    ],
)
def test_a_parameter_that_means_nothing_is_refused(
    staff: APIClient, query: str
) -> None:
    answer = staff.get(f"{API}runs/?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [query.partition("=")[0].replace("%00", "\0")]


def test_a_row_has_no_payload_and_no_secret(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    start(paying, "1", password="hunter2")
    workflows.run_until_idle()
    row = staff.get(f"{API}runs/").json()["results"][0]
    assert not {"args", "kwargs", "output", "error", "seed", "owner"} & set(row)
