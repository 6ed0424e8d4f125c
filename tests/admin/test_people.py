"""Who did what to a run, as its page tells it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from django_workflows import create_hook, resume_hook, sleep, start, workflow
from django_workflows.admin.addresses import run_url
from django_workflows.core.authorship import done_by
from django_workflows.models import Event, Run
from django_workflows.store.people.deeds import MOST, deeds_of
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, read, user_with


@workflow
async def napping() -> None:
    await sleep("1d")


@workflow
async def listening() -> None:
    with create_hook(token="busy") as hook:
        async for _payload in hook:
            pass


@pytest.mark.django_db
def test_people_of_several_languages_read_the_same(workflows: WorkflowTester) -> None:
    run = start(napping)
    workflows.run_until_idle()
    client = client_of(user_with("view_run", "cancel_run", name="jörg"))
    with translation.override("de"):
        client.post(run_url(run, "cancel"), {"post": "yes", "reason": "zu spät"})
        workflows.run_until_idle()
    assert LogEntry.objects.get().change_message == "Cancelled: zu spät"
    assert "Cancelled by jörg: zu spät" in read(client, run_url(run))


@pytest.mark.django_db
def test_the_runs_own_log_says_it_and_djangos_keeps_a_note(
    workflows: WorkflowTester,
) -> None:
    run = start(napping)
    workflows.run_until_idle()
    anna = client_of(user_with("view_run", "wake_run"))
    anna.post(run_url(run, "wake"), {"post": "yes"})
    woken = Event.objects.get(run=run, type="wake_requested")
    assert woken.details == {"by": "anna", "way": "admin"}
    assert LogEntry.objects.get().change_message == "Woken"
    # The page needs its note no more, of which there may be any number.
    with CaptureQueriesContext(connection) as captured:
        assert "anna Woken" in read(anna, run_url(run))
    assert not any("admin_log" in query["sql"] for query in captured)


@pytest.mark.django_db
def test_whoever_sends_much_hides_nobody_else(workflows: WorkflowTester) -> None:
    run = start(listening)
    workflows.run_until_idle()
    with done_by("otto", "admin"):
        run.pause()
        run.resume()
    with done_by("bot", "api"):
        for number in range(MOST + 5):
            resume_hook("busy", number)
    resume_hook("busy", "from code, which is told by nobody")
    workflows.run_until_idle()
    told = Counter((deed.by, str(deed.done)) for deed in deeds_of(run))
    assert told == {
        ("bot over the API", "Sent a payload to hook"): MOST,
        ("otto", "Paused"): 1,
        ("otto", "Resumed"): 1,
    }


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("copy", "said"),
    [
        (lambda run: run.replay(), "Started as a replay of: {}"),
        (lambda run: run.fork(1), "Started as a fork of: {}"),
        (lambda run: start(napping), "Started"),
    ],
)
def test_who_started_it(
    copy: Callable[[Run], Run], said: str, workflows: WorkflowTester
) -> None:
    with done_by("root@db-1", ""):
        run = start(napping)
    workflows.run_until_idle()
    with done_by("anna", "admin"):
        new = copy(run)
    [deed] = deeds_of(new)
    assert (deed.by, deed.text) == ("anna", said.format(run.pk))
    [deed] = deeds_of(run)
    assert (deed.by, deed.text) == ("root@db-1 on the command line", "Started")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"by": "ann", "way": "fax"}, "ann Terminated"),
        ({"by": ["ann"], "way": "api"}, "API, command line or code Terminated"),
        ({"by": "ann", "way": {}}, "API, command line or code Terminated"),
        ({"way": "api"}, "API, command line or code Terminated"),
    ],
)
def test_what_somebody_has_damaged_breaks_no_page(
    said: dict[str, Any], shown: str, workflows: WorkflowTester
) -> None:
    run = start(napping)
    run.terminate()
    ended = Event.objects.filter(run=run, type="run_terminated")
    ended.update(detail=json.dumps(said))
    assert shown in read(client_of(user_with("view_run")), run_url(run))


@pytest.mark.django_db
def test_those_who_are_told_by_nobody_have_no_panel(workflows: WorkflowTester) -> None:
    run = start(napping)
    workflows.advance("2d")
    assert "Who did what" not in read(client_of(user_with("view_run")), run_url(run))
