"""How long a page of the list of runs takes, with a million of them stored."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from rest_framework.test import APIRequestFactory, force_authenticate

from benchmarks.bench import Bench
from benchmarks.listed import FILTERS, copy_of, created, many_runs
from benchmarks.pages import take
from django_workflows.api.runs import RunViewSet
from django_workflows.models import Run
from django_workflows.store.paging import Cursor

#: What is asked for besides `FILTERS`.
OTHERS = {
    "newest": "ordering=-created_at",
    "key": "key=order-1000",
    "key_none": "key=none",
}
#: Where pages are taken, as a share of all runs.
PLACES = {"first": 0.0, "ties": 0.62, "deep": 0.95}


def lists(bench: Bench, rep: int) -> None:
    """Milliseconds per page of 100: at the beginning, amid equally old runs, far on."""
    with many_runs(bench, steps=0) as template:
        look(bench, rep, template)


def look(bench: Bench, rep: int, template: Run) -> None:
    """Take some pages, one after the other, of each choice from each place."""
    count = bench.sizes.listed
    places = {
        place: _cursor(template, int(count * share)) for place, share in PLACES.items()
    }
    for name, query in {**FILTERS, **OTHERS}.items():
        chosen = query.format(created=created(template, count))
        for place, cursor in places.items():
            walk = Walk(f"/runs/?{chosen}{cursor}")
            take(bench, f"lists_{place}", name, rep, walk.on)


class Walk:
    """From a page to the next; from the last one, or the only one, back to the first
    again."""

    def __init__(self, url: str) -> None:
        self._first = self._at = url

    def on(self) -> None:
        """Take a page."""
        self._at = _get(self._at)["next"] or self._first


def _cursor(template: Run, number: int) -> str:
    """The parameter with which a page begins behind so many runs."""
    if number == 0:
        return ""
    run = copy_of(template, number)
    return f"&cursor={Cursor(False, (run.created_at, run.pk))}"


def _get(url: str) -> Any:
    request = APIRequestFactory().get(url)
    force_authenticate(request, User(username="staff", is_staff=True))
    response = RunViewSet.as_view({"get": "list"})(request).render()
    assert response.status_code == 200, response.data
    return response.data
