"""Who gets in where: over every route that there is, also those to come."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern
from rest_framework.permissions import BasePermission

from django_workflows import create_hook, step, workflow
from django_workflows.api.urls import urlpatterns
from django_workflows.models import Event, Run
from django_workflows.store import rendering
from django_workflows.testing import WorkflowTester
from tests.api.permissions import IsOwner, OnlyLists, OwnRuns

PREFIX = "/workflows/api/"
OPEN = {"health"}
"""Names of the routes that are there for everybody."""
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Route:
    """A route with one of its methods."""

    name: str
    pattern: str
    method: str

    def path(self, **arguments: str) -> str:
        """The route of something in particular; what it may name is known here."""
        return PREFIX + re.sub(
            r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>",
            lambda found: arguments[found[1] or found[2]],
            self.pattern.strip("^$\\Z"),
        )

    @property
    def is_of_a_run(self) -> bool:
        return bool(re.search(r"<(?:\w+:)?(id|token)>", self.pattern)) and (
            self.pattern.lstrip("^").startswith(("runs/", "hooks/"))
        )


def _routes() -> Iterator[Route]:
    for entry in urlpatterns:
        assert isinstance(entry, URLPattern), "teach this test to look inside"
        view: Any = entry.callback
        actions = getattr(view, "actions", None)
        methods = list(actions) if actions else _handlers(getattr(view, "cls", view))
        for method in methods:
            yield Route(entry.name or "", str(entry.pattern), method.upper())


def _handlers(view: Any) -> list[str]:
    names = getattr(view, "http_method_names", ["get"])
    return [m for m in names if hasattr(view, m) and m not in ("options", "head")]


ROUTES = list(_routes())
CLOSED = [route for route in ROUTES if route.name not in OPEN]
OF_RUNS = [route for route in ROUTES if route.is_of_a_run]


def _name(route: Route) -> str:
    return f"{route.method}-{route.name}"


WRITING = [route for route in ROUTES if route.method in UNSAFE]
each_closed = pytest.mark.parametrize("route", CLOSED, ids=_name)
each_of_a_run = pytest.mark.parametrize("route", OF_RUNS, ids=_name)


@step
def keep(value: Any) -> Any:
    return value


@workflow(name="tests.api.security.guarded", api=True)
async def guarded(value: Any) -> Any:
    await keep(value)
    return await create_hook(value)


each_rule = pytest.mark.parametrize("rule", [OwnRuns, IsOwner, OnlyLists])


@pytest.fixture
def theirs(workflows: WorkflowTester) -> Run:
    options = guarded.options(attributes={"owner": "them"}, key="their-key")
    run: Run = options.start("their")
    workflows.run_until_idle()
    return run


def user(**facts: Any) -> User:
    return User.objects.create_user(facts.pop("username", "us"), **facts)


def logged_in(who: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(who)
    return client


def request(
    client: Client, route: Route, run: Run, token: str = "their", **more: Any
) -> Any:
    path = route.path(id=run.pk, token=token)
    return client.generic(route.method, path, "{}", "application/json", **more)


def state_of(run: Run) -> Any:
    """All that a request could change of a run."""
    row = Run.objects.filter(pk=run.pk).values().get()
    return row, list(Event.objects.filter(run=run.pk).values_list("pk", "type", "seq"))


def test_every_route_is_covered() -> None:
    """Should somebody change how routes look, these tests would cover nothing."""
    names = {route.name for route in ROUTES}
    assert {"run-list", "run-detail", "run-event-list", "run-step-list"} <= names
    assert len(OF_RUNS) >= 11


# -- staff only, unless a project says otherwise ---------------------------------------


def test_strangers_are_refused(theirs: Run) -> None:
    before = state_of(theirs)
    anonymous, plain = Client(), logged_in(user())
    for route in CLOSED:
        assert request(anonymous, route, theirs).status_code in (401, 403), route
        assert request(plain, route, theirs).status_code == 403, route
    assert state_of(theirs) == before
    assert Run.objects.count() == 1


@each_closed
def test_staff_gets_in(route: Route, theirs: Run) -> None:
    answer = request(logged_in(user(is_staff=True)), route, theirs)
    assert answer.status_code not in (401, 403)
    assert answer.status_code < 500
    if route.is_of_a_run:
        assert answer.status_code != 404


def test_sessions_need_a_csrf_token(theirs: Run) -> None:
    before = state_of(theirs)
    client = logged_in(user(is_staff=True), enforce_csrf_checks=True)
    for route in WRITING:
        answer = request(client, route, theirs)
        assert answer.status_code == 403, route
        assert "CSRF" in answer.content.decode(), route
    assert state_of(theirs) == before


# -- a project's own rules -----------------------------------------------------------


@each_rule
def test_run_of_somebody_else_is_not_there(
    rule: type[BasePermission], theirs: Run, settings: Any
) -> None:
    """Nor can it be told from a run that there is not."""
    settings.WORKFLOWS = {"PERMISSION_CLASSES": [rule]}
    before = state_of(theirs)
    client = logged_in(user())
    nobodys = Run(pk="wrun_00000000000000000000000000")
    for route in OF_RUNS:
        # A hook's token may end as another route does: that one knows no such method.
        is_other = route.method == "GET" and "/resume" in route.pattern
        refusal = 405 if is_other else 404
        answer = request(client, route, theirs)
        assert answer.status_code == refusal, route
        same = request(client, route, nobodys, token="nobodys")
        assert (same.status_code, same.content) == (refusal, answer.content), route
    assert state_of(theirs) == before
    assert Run.objects.count() == 1


@each_of_a_run
def test_own_run_is_there(route: Route, theirs: Run, settings: Any) -> None:
    settings.WORKFLOWS = {"PERMISSION_CLASSES": [OwnRuns]}
    answer = request(logged_in(user(username="them")), route, theirs)
    assert answer.status_code not in (401, 403, 404)
    assert answer.status_code < 500


@each_rule
def test_nothing_of_somebody_elses_run_is_shown(
    rule: type[BasePermission], theirs: Run, settings: Any
) -> None:
    settings.WORKFLOWS = {"PERMISSION_CLASSES": [rule]}
    client = logged_in(user())
    for route in ROUTES:
        if route.method == "GET":
            shown = request(client, route, theirs).content
            assert theirs.pk.encode() not in shown, route
            assert b"their-key" not in shown, route


@each_rule
def test_nobody_starts_runs_for_others(
    rule: type[BasePermission], theirs: Run, settings: Any
) -> None:
    settings.WORKFLOWS = {"PERMISSION_CLASSES": [rule]}
    client = logged_in(user())

    def post(**body: Any) -> int:
        body = {"workflow": guarded.name, "args": ["x"], **body}
        return client.post(
            f"{PREFIX}runs/", json.dumps(body), "application/json"
        ).status_code

    assert post(attributes={"owner": "them"}) == 404
    assert post() == 404
    assert post(key="their-key", attributes={"owner": "us"}) == 404
    assert Run.objects.count() == 1
    assert post(attributes={"owner": "us"}) == 201


# -- size ------------------------------------------------------------------------------


class Unread:
    """A body that must not be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")

    readline = read


@pytest.mark.parametrize("length", ["2097153", "9" * 5000])
def test_large_body_is_refused_unread(length: str, theirs: Run) -> None:
    client = logged_in(user(is_staff=True))
    more: dict[str, Any] = {"CONTENT_LENGTH": length, "wsgi.input": Unread()}
    for route in WRITING:
        assert request(client, route, theirs, **more).status_code == 413, route


# -- failures --------------------------------------------------------------------------


def test_failure_of_ours_tells_nothing(
    theirs: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: Run) -> None:
        raise RuntimeError("hush")

    monkeypatch.setattr(rendering, "run_call", fail)
    client = logged_in(user(is_staff=True), raise_request_exception=False)
    answer = client.get(f"{PREFIX}runs/{theirs.pk}/")
    assert answer.status_code == 500
    assert "hush" not in answer.text
    assert "Traceback" not in answer.text


# -- nonsense --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": "9" * 5000},
        {"page_size": "\u0661"},
        {"cursor": "W10="},
        {"cursor": "\udc80"},
        *[
            {f"attributes.{name}": "1"}
            for name in ("", '"', '\\"', "a.b", "$", "'", "\n")
        ],
        *[
            {"attributes.a": value}
            for value in ("9" * 5000, "[" * 9999, "1e999", "\udc80")
        ],
        {"key": "\0"},
        {"workflow": "\udc80"},
        {"ordering": "pk"},
        {"created_after": "9999-12-31T23:59:59-23:59"},
    ],
    ids=ascii,
)
def test_nonsense_in_a_query_is_no_failure(query: dict[str, str], theirs: Run) -> None:
    client = logged_in(user(is_staff=True))
    text = urlencode(query, errors="surrogatepass")
    assert client.get(f"{PREFIX}runs/?{text}").status_code in (200, 400)


@pytest.mark.parametrize("several", ["attributes.a={}", "attributes.a{}=1"])
@pytest.mark.parametrize(("count", "status"), [(20, 200), (21, 400), (999, 400)])
def test_attributes_of_a_query_are_counted(
    several: str, count: int, status: int, theirs: Run
) -> None:
    """SQLite takes no expressions that are nested more than 1,000 deep."""
    client = logged_in(user(is_staff=True))
    text = "&".join(several.format(number) for number in range(count))
    assert client.get(f"{PREFIX}runs/?{text}").status_code == status
