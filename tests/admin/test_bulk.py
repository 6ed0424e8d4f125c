"""The same is done to many runs of the list, and told of each."""

from __future__ import annotations

import random
import re
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from django_workflows import sleep, start, start_many, workflow
from django_workflows.admin.keyset import LongListAdmin
from django_workflows.admin.permissions import VERBS
from django_workflows.admin.runs.bulk import TOLD
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, user_with

pytestmark = pytest.mark.django_db

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

URL = "admin:django_workflows_run_changelist"


@workflow
async def going(fails: bool = False) -> None:
    if fails:
        raise ValueError("no luck")
    await sleep("1d")


def chosen(verb: str, runs: list[Run], **more: str) -> dict[str, Any]:
    """What the list, or with `post` the page that asks, sends."""
    ids = [run.pk for run in runs]
    return {"action": f"{verb}_selected", "_selected_action": ids, **more}


def send(
    client: Client, verb: str, runs: list[Run], query: str = "", **more: str
) -> list[tuple[str, str]]:
    """Have it done; the messages with their levels."""
    data = chosen(verb, runs, post="yes", **more)
    answer = client.post(reverse(URL) + query, data)
    assert (answer.status_code, answer["Location"]) == (302, reverse(URL) + query)
    return [
        (str(message.level_tag), unescape(re.sub(r"<.*?>", "", str(message))))
        for message in get_messages(answer.wsgi_request)
    ]


def offered(text: str) -> list[str]:
    """The actions of the list."""
    return re.findall(r'<option value="(\w+_selected)">', text)


def statuses(runs: list[Run]) -> list[str]:
    return [Run.objects.get(pk=run.pk).status for run in runs]


def test_a_page_asks_before_anything_is_done(
    workflows: WorkflowTester, admin_client: Client
) -> None:
    runs = start_many(going, [(), ()])
    workflows.run_until_idle()
    other = start(going)
    answer = admin_client.post(
        reverse(URL) + "?status=running", chosen("terminate", runs, index="0")
    )
    assert answer.status_code == 200
    text = unescape(answer.content.decode())
    assert "The run ends at once" in text
    assert 'value="Terminate selected runs"' in text
    assert 'name="reason"' in text
    for run in runs:
        assert f'name="_selected_action" value="{run.pk}"' in text
        assert str(run) in text
    assert other.pk not in text
    assert statuses(runs) == ["running", "running"]
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("verb", VERBS)
def test_each_run_is_told_of(
    workflows: WorkflowTester, admin_client: Client, admin_user: User, verb: str
) -> None:
    fails = verb == "retry"
    runs = start_many(going, [(fails,), (fails,)])
    workflows.run_until_idle()
    if verb == "resume":
        for run in runs:
            run.pause()
    ended = start(going)
    ended.terminate()
    messages = send(admin_client, verb, [*runs, ended], reason="too many")
    expected = {
        "cancel": "{} has been asked to stop.",
        "terminate": "{} has been terminated.",
        "pause": "{} has been asked to pause.",
        "resume": "{} has been resumed.",
        "retry": "{} goes on.",
        "wake": "{} has been woken.",
    }
    if verb == "replay":
        new = Run.objects.order_by("id")[3:]
        told = [
            f"{run.pk} has been replayed. The new run is {copy.pk}."
            for run, copy in zip([*runs, ended], new, strict=True)
        ]
        assert messages == [("success", text) for text in told]
    else:
        text = expected[verb]
        assert messages[:2] == [("success", text.format(run.pk)) for run in runs]
        assert messages[2][0] == "error"
        assert messages[2][1].startswith(f"{ended.pk}: The run is terminated")
        assert len(messages) == 3
        assert not LogEntry.objects.filter(object_id=ended.pk).exists()
    for run in runs:
        entry = LogEntry.objects.get(object_id=run.pk)
        assert entry.user == admin_user
        assert ("too many" in entry.get_change_message()) is (
            verb in ("cancel", "terminate")
        )
    if verb == "terminate":
        events = Event.objects.filter(type="run_terminated", run__in=runs)
        assert [event.data["reason"] for event in events] == ["too many"] * 2


@pytest.mark.parametrize("are_there", [True, False])
def test_a_full_page_is_told_of_where_all_is_kept_in_cookies(
    settings: Any, admin_user: User, are_there: bool
) -> None:
    """Messages that do not fit into their own cookie go to the session's, and browsers
    drop cookies of more than 4,096 bytes."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    client = client_of(admin_user)
    if are_there:
        runs = [start(going) for _ in range(LongListAdmin.list_per_page)]
    else:
        letters = random.Random(7)
        runs = [
            Run(pk="wrun_" + "".join(letters.choices(_LETTERS, k=26)))
            for _ in range(LongListAdmin.list_per_page)
        ]
    answer = client.post(reverse(URL), chosen("replay", runs, post="yes"))
    if not are_there:  # ids made in a row may be so much alike that they need one only
        assert {"messages", "sessionid"} <= {*answer.cookies}
    for cookie in answer.cookies.values():
        assert len(cookie.OutputString()) <= 4096
    text = client.get(answer["Location"]).content.decode()
    told = re.findall(r'<li class="(?:success|error)">.*?(wrun_\w+)</a>', text)
    assert told == [run.pk for run in runs]


def test_of_very_many_runs_most_are_counted(
    workflows: WorkflowTester, admin_client: Client
) -> None:
    runs = start_many(going, [()] * (TOLD + 5))
    ended = start_many(going, [()] * (TOLD + 3))
    for run in ended:
        run.terminate()
    messages = send(admin_client, "cancel", [*runs, *ended])
    assert len(messages) == 2 * TOLD + 2
    assert messages[-2:] == [
        ("success", "It is done to 5 more."),
        ("error", "It is not possible for 3 more."),
    ]
    assert set(statuses(runs)) == {"cancelled"}


def test_what_has_left_the_list_meanwhile_is_told_of_too(
    workflows: WorkflowTester, admin_client: Client
) -> None:
    runs = start_many(going, [(), ()])
    workflows.run_until_idle()
    runs[0].terminate()
    gone = Run(pk="wrun_gone")
    messages = send(admin_client, "pause", [*runs, gone], query="?status=running")
    assert [level for level, _ in messages] == ["success", "error", "error"]
    assert messages[1][1].startswith(runs[0].pk)
    assert "there is no workflow run 'wrun_gone'" in messages[2][1]


def test_of_what_is_gone_nothing_is_asked(admin_client: Client) -> None:
    url = reverse(URL) + "?status=failed"
    answer = admin_client.post(url, chosen("retry", [Run(pk="wrun_gone")]), follow=True)
    assert answer.redirect_chain == [(url, 302)]
    assert "None of these runs is there any more." in answer.content.decode()


def test_only_what_was_chosen_is_done(
    workflows: WorkflowTester, admin_client: Client
) -> None:
    first, second = start_many(going, [(), ()])
    send(admin_client, "terminate", [first], select_across="1")
    assert statuses([first, second]) == ["terminated", "pending"]


def test_a_reason_that_is_too_long_is_asked_for_again(
    workflows: WorkflowTester, admin_client: Client
) -> None:
    runs = start_many(going, [(), ()])
    data = chosen("cancel", runs, post="yes", reason="x" * 1001)
    answer = admin_client.post(reverse(URL), data)
    assert answer.status_code == 200
    assert "at most 1000 characters" in answer.content.decode()
    assert statuses(runs) == ["pending", "pending"]


def test_actions_are_offered_by_permission(
    workflows: WorkflowTester, admin_client: Client
) -> None:
    runs = start_many(going, [(), ()])
    text = admin_client.get(reverse(URL)).content.decode()
    assert offered(text) == [f"{verb}_selected" for verb in VERBS]
    # There is no way to choose what is on other pages.
    assert "Select all" not in text.replace("Select all objects on this page", "")

    client = client_of(user_with("view_run", "pause_run"))
    assert offered(client.get(reverse(URL)).content.decode()) == ["pause_selected"]
    assert send(client, "terminate", runs) == [("warning", "No action selected.")]
    assert statuses(runs) == ["pending", "pending"]
    client = client_of(user_with("view_run", name="vera"))
    text = client.get(reverse(URL)).content.decode()
    assert 'name="action"' not in text
    client.post(reverse(URL), chosen("terminate", runs, post="yes"))
    assert statuses(runs) == ["pending", "pending"]
