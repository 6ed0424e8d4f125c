"""How long a page of the list of runs takes, with a million of them stored."""

from __future__ import annotations

import statistics
import time
from typing import Any

from django.contrib.auth.models import User
from rest_framework.test import APIRequestFactory, force_authenticate

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.listed import fill
from benchmarks.output import progress
from benchmarks.stored import tidy
from benchmarks.workloads.starting import QUEUE
from django_workflows import start
from django_workflows.api.runs import RunViewSet
from django_workflows.models import Run
from django_workflows.store.paging import Cursor

#: Pages taken one after the other, from each place.
PAGES = 10
#: Filters by how many runs they leave.
FILTERS = {
    "all": "",
    "newest": "ordering=-created_at",
    "status_common": "status=completed",
    "status_rare": "status=paused",
    "status_none": "status=cancelled",
    "workflow_common": "workflow=shop.orders",
    "workflow_rare": "workflow=shop.rare",
    "workflow_none": "workflow=shop.none",
    "queue_common": "queue=default",
    "queue_rare": "queue=rare",
    "queue_none": "queue=none",
    "key": "key=order-1000",
    "key_none": "key=none",
    "attribute_common": "attributes.plan=free",
    "attribute_seldom": "attributes.plan=gold",
    "attribute_rare": "attributes.customer=77",
    "attribute_late": "attributes.late=true",
    "attribute_once": "attributes.once=1",
    "attribute_none": "attributes.customer=none",
    "both_common": "status=failed&workflow=shop.orders",
    "both_rare": "status=failed&attributes.customer=79",
    "both_none": "status=failed&workflow=shop.mails",
    "window": "created_after=2025-01-08T00:00:00Z&created_before=2025-01-08T00:01:00Z",
}
#: Where pages are taken, as a share of all runs.
PLACES = {"first": 0.0, "ties": 0.62, "deep": 0.95}


def lists(bench: Bench, rep: int) -> None:
    """Milliseconds per page of 100: at the beginning, amid equally old runs, far on."""
    count = bench.sizes.listed
    template = start(workflows.seq10.options(queue=QUEUE))
    progress(f"lists: storing {count:,} runs")
    fill(template, count)
    tidy()
    places = {place: _cursor(int(count * share)) for place, share in PLACES.items()}
    for name, query in FILTERS.items():
        for place, cursor in places.items():
            times = _pages(f"/runs/?{query}", cursor)
            bench.report.add(
                f"lists_{place}",
                name,
                statistics.median(times),
                "ms",
                rep,
                lo=round(min(times), 2),
                hi=round(max(times), 2),
                n=len(times),
            )
    Run.objects.filter(queue=QUEUE).delete()


def _cursor(number: int) -> str:
    """The parameter with which a page begins behind so many runs."""
    if number == 0:
        return ""
    run = Run.objects.order_by("created_at", "id")[number - 1]
    return f"&cursor={Cursor(False, (run.created_at, run.pk))}"


def _pages(url: str, cursor: str) -> list[float]:
    """Milliseconds that each page took; again the same one where there is no next."""
    times = []
    at = url + cursor
    for _ in range(PAGES):
        began = time.perf_counter()
        answer = _get(at)
        times.append((time.perf_counter() - began) * 1e3)
        at = answer["next"] or url + cursor
    return times


def _get(url: str) -> Any:
    request = APIRequestFactory().get(url)
    force_authenticate(request, User(username="staff", is_staff=True))
    response = RunViewSet.as_view({"get": "list"})(request).render()
    assert response.status_code == 200, response.data
    return response.data
