"""Definitions in the admin: the list, the editor, starts, and what is in code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from django_workflows.admin.addresses import definition_url, run_url
from django_workflows.definitions import (
    DefinedWorkflow,
    StepDefinition,
    WorkflowDefinition,
    delete_definition,
    get_definition,
    list_definitions,
    register,
    start,
)
from django_workflows.models import Definition, Run
from tests.admin.browsing import what_a_browser_sends
from tests.admin.pages import client_of, user_with
from tests.admin.panels import links
from tests.definitions.registered import registered_for_a_while

pytestmark = pytest.mark.django_db

LIST = reverse("admin:django_workflows_definition_changelist")
ADD = reverse("admin:django_workflows_definition_add")
START = reverse("admin:django_workflows_definition_start")
CODE = reverse("admin:django_workflows_definition_code")


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered_for_a_while():
        yield


@pytest.fixture
def cleaning() -> type[DefinedWorkflow]:
    class Cleaning(DefinedWorkflow):
        id = "cleaning"
        name = "Clean up"
        steps = [StepDefinition(id="sweep", action="sweep")]

        def sweep(self, params: Any, state: Any) -> Any:
            return params

    return Cleaning


def data(*ids: str, **more: Any) -> dict[str, Any]:
    steps = [{"id": each, "action": "noop"} for each in ids or ("one",)]
    return {"id": "order", "name": "An order", "steps": steps, **more}


def row(version: int, definition_id: str = "order") -> Definition:
    return Definition.objects.get(definition_id=definition_id, version=version)


def page(version: int, name: str = "change") -> str:
    return reverse(f"admin:django_workflows_definition_{name}", args=[row(version).pk])


def log(version: int) -> list[str]:
    entries = LogEntry.objects.filter(object_id=row(version).pk).order_by("pk")
    return [entry.get_change_message() for entry in entries]


def text(answer: Any) -> str:
    assert answer.status_code == 200
    html: str = answer.content.decode()
    return html


# -- the editor -----------------------------------------------------------------------


def test_a_definition_is_added(admin_client: Client) -> None:
    form = admin_client.get(ADD).context["form"]
    assert "noop" in form["text"].value()
    sent = {"text": json.dumps(data("one")), "_save": ""}
    answer = admin_client.post(ADD, sent, follow=True)
    assert answer.redirect_chain[0][0] == page(1)
    assert "Version 1 has been saved" in text(answer)
    assert get_definition("order") is not None
    assert log(1) == ["Added."]


def test_saving_makes_the_next_version(admin_client: Client) -> None:
    register(data("one"))
    form = admin_client.get(page(1)).context["form"]
    sent = {"text": json.dumps(data("two")), "based_on": form["based_on"].value()}
    answer = admin_client.post(page(1), sent, follow=True)
    assert answer.redirect_chain[0][0] == page(2)
    assert [step.id for step in _current().steps] == ["two"]
    assert log(2) == ["Saved version 2"]
    # What it shows can be saved again, which changes nothing.
    form = answer.context["form"]
    sent = {name: form[name].value() for name in ("text", "based_on")}
    answer = admin_client.post(page(2), sent, follow=True)
    assert "it is still version 2" in text(answer)
    assert Definition.objects.count() == 2
    assert log(2) == ["Saved version 2"]


def _current() -> WorkflowDefinition:
    found = get_definition("order")
    assert found is not None
    return found


@pytest.mark.parametrize("button", ["_check", "_save"])
def test_every_problem_is_told_at_once_and_nothing_is_saved_or_lost(
    admin_client: Client, button: str
) -> None:
    register(data("one"))
    wrong = data("two", "two")
    wrong["id"] = "other"
    wrong["steps"][0] |= {"dependsOn": ["three"], "wait": "soon"}
    wrong["steps"][1]["action"] = "unheard"
    given = json.dumps(wrong) + "  "
    answer = admin_client.post(page(1), {"text": given, "based_on": "1", button: ""})
    problems = answer.context["form"].errors["text"]
    for part in ("2 steps have this id", "'three'", "'soon'", "'unheard'", "'order'"):
        assert sum(part in problem for problem in problems) >= 1, part
    assert f"{len(problems)} problems" in text(answer)
    assert answer.context["form"]["text"].value() == given
    assert 'class="dw-step' not in text(answer)
    assert Definition.objects.count() == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"id": "x",\n "steps"}', "line 2, column 9"),
        ("", "required"),
        ("[]", "an object with id and steps"),
        ('{"id": "x", "steps": [], "retries": Infinity}', "Infinity"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_definition_at_all_is_told(
    admin_client: Client, given: str, told: str
) -> None:
    answer = admin_client.post(ADD, {"text": given, "_save": ""})
    assert told in str(answer.context["form"].errors)
    assert (answer.context["form"]["text"].value() or "") == given
    assert not Definition.objects.exists()


def test_a_check_shows_the_graph_and_saves_nothing(admin_client: Client) -> None:
    given = data("one", "two")
    given["steps"][1]["dependsOn"] = ["one"]
    answer = admin_client.post(ADD, {"text": json.dumps(given), "_check": ""})
    html = text(answer)
    assert "Nothing is wrong with it" in html
    assert html.count('class="dw-step"') == 2
    assert not Definition.objects.exists()


def test_what_somebody_else_has_saved_is_not_overwritten_unseen(
    admin_client: Client,
) -> None:
    register(data("one"))
    register(data("theirs"))
    sent = {"text": json.dumps(data("mine")), "based_on": "1", "_save": ""}
    answer = admin_client.post(page(1), sent)
    assert "Version 2 has been saved meanwhile" in text(answer)
    form = answer.context["form"]
    assert form["text"].value() == sent["text"]
    assert [step.id for step in _current().steps] == ["theirs"]
    sent["based_on"] = form["based_on"].value()
    assert admin_client.post(page(1), sent).status_code == 302
    assert [step.id for step in _current().steps] == ["mine"]
    # The same for an id that is taken, and for one that was deleted.
    answer = admin_client.post(ADD, {"text": json.dumps(data("new"))})
    assert "a definition of this id already" in text(answer)
    delete_definition("order")
    sent = {"text": json.dumps(data("mine")), "based_on": "3"}
    answer = admin_client.post(page(3), sent)
    assert "It has been deleted meanwhile" in text(answer)
    sent["based_on"] = answer.context["form"]["based_on"].value()
    assert admin_client.post(page(3), sent).status_code == 302
    assert _current().version == 3


def test_older_versions_are_read_compared_and_taken_up_again(
    admin_client: Client,
) -> None:
    register(data("one"))
    register(data("two"))
    answer = admin_client.get(page(1))
    assert "form" not in answer.context
    diff = answer.context["diff"].splitlines()
    assert '-      "id": "one",' in diff
    assert '+      "id": "two",' in diff
    versions = answer.context["versions"]
    assert [each.number for each in versions] == [2, 1]
    assert [each.is_current for each in versions] == [True, False]
    form = admin_client.get(page(1), {"edit": ""}).context["form"]
    sent = {name: form[name].value() for name in ("text", "based_on")}
    assert admin_client.post(f"{page(1)}?edit", sent).status_code == 302
    assert [step.id for step in _current().steps] == ["one"]
    assert _current().version == 3
    html = text(admin_client.get(page(3)))
    assert "admin" in html[html.index('id="versions"') :]


# -- in code --------------------------------------------------------------------------


def test_what_is_in_code_is_read_only(
    admin_client: Client, cleaning: type[DefinedWorkflow]
) -> None:
    html = text(admin_client.get(LIST))
    assert f"{CODE}?id=cleaning" in html
    answer = admin_client.get(CODE, {"id": "cleaning"})
    assert "Cleaning" in text(answer)
    assert "sweep" in text(answer)
    assert not Definition.objects.exists()
    register(cleaning)
    answer = admin_client.get(CODE, {"id": "cleaning"}, follow=True)
    url = answer.redirect_chain[0][0]
    assert "written in code" in text(answer)
    assert "form" not in answer.context
    assert admin_client.post(url, {"text": "{}"}).status_code == 403
    assert "only_in_code" not in text(admin_client.get(LIST))
    taken = json.dumps({**data("one"), "id": "cleaning"})
    answer = admin_client.post(ADD, {"text": taken})
    assert "is written in code" in str(answer.context["form"].errors)
    assert admin_client.get(CODE, {"id": "nothing"}).status_code == 404


# -- the list, hiding, starting -------------------------------------------------------


def test_the_list_has_the_current_versions(
    admin_client: Client, cleaning: type[DefinedWorkflow]
) -> None:
    register(data("one"))
    register(data("two"))
    register({**data("one"), "id": "gone"})
    delete_definition("gone")
    register(cleaning)
    answer = admin_client.get(LIST)
    rows = answer.context["cl"].result_list
    assert [str(each) for each in rows] == ["cleaning v1", "order v2"]
    html = text(answer)
    assert "attributes.definition=order" in html
    found = admin_client.get(LIST, {"q": "clean"}).context["cl"].result_list
    assert [each.definition_id for each in found] == ["cleaning"]


def test_the_list_does_not_read_what_definitions_say(admin_client: Client) -> None:
    register(data("one"))
    with CaptureQueriesContext(connection) as captured:
        assert "An order" in text(admin_client.get(LIST))
    statements = [each["sql"] for each in captured.captured_queries]
    read = [each for each in statements if "definition_id" in each]
    assert read
    assert [each for each in read if re.search(r"\bcontent\b", each)] == []


def ids() -> set[str]:
    """The ids of all definitions; other tests have classes of their own."""
    return {definition.id for definition in list_definitions()}


def test_deleting_hides(admin_client: Client) -> None:
    register(data("one"))
    run = start("order")
    url = page(1, "delete")
    assert "hides it" in text(admin_client.get(url))
    admin_client.post(url, {"post": "yes"})
    assert "order" not in ids()
    assert Definition.objects.count() == 1
    assert Run.objects.get() == run
    html = text(admin_client.get(page(1)))
    assert "has been deleted" in html
    assert START not in html


def test_an_execution_is_started(admin_client: Client) -> None:
    register(data("one"))
    url = f"{START}?id=order"
    assert url in text(admin_client.get(page(1)))
    sent = {"input": '{"total": 7}', "option_key": "order-7"}
    answer = admin_client.post(url, sent)
    run = Run.objects.get()
    assert answer["Location"] == reverse(
        "admin:django_workflows_run_change", args=[run.pk]
    )
    assert run.args[2] == {"total": 7}
    assert run.key == "order-7"
    assert run.attributes == {"definition": "order", "definition_version": 1}
    noted = LogEntry.objects.get(object_id=run.pk)
    assert noted.get_change_message() == "Started"
    assert admin_client.get(page(1)).context["runs"] == [run]
    answer = admin_client.post(url, sent)
    assert run.pk in str(answer.context["form"].options.errors)
    answer = admin_client.post(url, {"input": "{"})
    assert "no JSON" in str(answer.context["form"].input.errors)
    assert Run.objects.count() == 1
    admin_client.post(url, {})
    assert Run.objects.latest("created_at").args[2] == {}
    assert admin_client.get(START, {"id": "nothing"}).status_code == 404


def test_an_execution_is_started_again_with_changed_input(
    admin_client: Client, settings: Any
) -> None:
    register(data("one"))
    given = {"total": 7, "password": "hunter2"}
    options = {"queue": "eu", "key": "k", "attributes": {"customer": 7}}
    run = start("order", given, **options)
    settings.WORKFLOWS = {"REDACT": ["password"]}
    again = links(admin_client.get(run_url(run)).content.decode())[
        "Start again with changed input"
    ]
    answer = admin_client.get(again)
    assert f">run {run.pk}</a>. Change what you like" in text(answer)
    assert "hunter2" not in answer.content.decode()
    sent = what_a_browser_sends(answer.content.decode())
    answer = admin_client.post(again, sent)
    assert "would be lost" in str(answer.context["form"].input.errors)
    sent["input"] = [sent["input"][0].replace("[redacted]", "other")]
    assert admin_client.post(again, sent).status_code == 302
    new = Run.objects.exclude(pk=run.pk).get()
    assert new.args[2] == {"total": 7, "password": "other"}
    assert (new.queue, new.key) == ("eu", None)
    assert new.attributes == run.attributes
    entry = LogEntry.objects.get(object_id=new.pk)
    assert entry.get_change_message() == f"Started with the changed input of: {run.pk}"


def test_only_executions_of_a_definition_are_started_again_as_such(
    admin_client: Client,
) -> None:
    register(data("one"))
    register({**data("one"), "id": "other"})
    exact, other = start("order", 1), start("other", {})
    inexact = start("order", {"total": Decimal("1.20")})
    assert (
        admin_client.get(START, {"id": "order", "again": other.pk}).status_code == 404
    )
    assert admin_client.get(START, {"id": "order", "again": "no"}).status_code == 404
    page = text(admin_client.get(START, {"id": "order", "again": inexact.pk}))
    assert "A form would change it" in page
    blind = client_of(user_with("view_run", "start_run"))
    assert blind.get(START, {"id": "order", "again": exact.pk}).status_code == 403
    assert "Start again" not in blind.get(run_url(exact)).content.decode()
    delete_definition("order")
    assert "Start again" not in admin_client.get(run_url(exact)).content.decode()


def test_one_of_a_class_is_stored_by_its_first_start(
    admin_client: Client, cleaning: type[DefinedWorkflow]
) -> None:
    admin_client.post(f"{START}?id=cleaning", {"input": ""})
    assert Run.objects.get().attributes["definition"] == "cleaning"
    assert row(1, "cleaning").is_code


def test_who_may_do_what() -> None:
    register(data("one"))
    client = client_of(user_with("view_definition"))
    html = text(client.get(page(1)))
    assert "textarea" not in html
    assert START not in html
    assert client.get(page(1)).context["runs"] is None
    sent = {"text": json.dumps(data("two")), "based_on": "1"}
    assert client.post(page(1), sent).status_code == 403
    assert client.post(ADD, sent).status_code == 403
    assert client.get(ADD).status_code == 403
    assert client.post(page(1, "delete"), {"post": "yes"}).status_code == 403
    assert client.post(f"{START}?id=order").status_code == 403
    user = User.objects.get(username="anna")
    for codename, url in (
        ("start_run", page(1)),
        ("start_run", LIST),
        ("start_run", f"{CODE}?id=order"),
    ):
        user.user_permissions.set(Permission.objects.filter(codename=codename))
        assert client.get(url).status_code == 403
    assert client.post(f"{START}?id=order").status_code == 302
    user.user_permissions.set(Permission.objects.filter(codename="add_definition"))
    sent = {"text": json.dumps({**data("two"), "id": "new"})}
    assert client.post(ADD, sent).status_code == 302
    assert {"order", "new"} <= ids()


def test_what_is_not_there_leads_to_the_start(admin_client: Client) -> None:
    for url in (f"{LIST}4711/change/", f"{LIST}widgets.css/change/"):
        assert admin_client.get(url)["Location"] == reverse("admin:index")


def test_the_number_of_queries_does_not_grow(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    counts = []
    for number in (1, 15):
        for each in range(number):
            register({**data("one"), "id": f"d{number}-{each}"})
            register(data(f"v{number}-{each}"))
            start("order")
        newest = Definition.objects.filter(definition_id="order").latest("version")
        for url in (LIST, page(newest.version)):
            with django_assert_max_num_queries(30) as seen:
                assert admin_client.get(url).status_code == 200
            counts.append(len(seen))
    assert counts[:2] == counts[2:]


# -- what is redacted -----------------------------------------------------------------


def test_what_is_redacted_is_neither_shown_nor_lost(
    admin_client: Client, settings: Any
) -> None:
    step = {"id": "one", "action": "noop", "params": {"Password": "hush-1"}}
    register(data(steps=[step]))
    register(data(steps=[{**step, "params": {"Password": "hush-2", "to": "all"}}]))
    old, new = Definition.objects.order_by("version")
    pages = [definition_url(row.pk) for row in (old, new)]
    pages += [f"{page}?edit" for page in pages]
    assert all("hush" in admin_client.get(page).content.decode() for page in pages)
    settings.WORKFLOWS = {"REDACT": ["password"]}
    for page in pages:
        html = admin_client.get(page).content.decode()
        assert "hush" not in html
        assert "[redacted]" in html
    shown = admin_client.get(pages[1]).context["form"].initial["text"]
    sent = {"text": shown, "based_on": "2"}
    answer = admin_client.post(pages[1], sent)
    assert "What is hidden here would be lost" in answer.content.decode()
    sent["text"] = shown.replace("[redacted]", "hush-3")
    assert admin_client.post(pages[1], sent).status_code == 302
    definition = get_definition("order")
    assert definition is not None
    assert definition.steps[0].params == {"Password": "hush-3", "to": "all"}
