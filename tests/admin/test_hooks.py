"""Hooks in the console: what runs wait for, and people who send it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pydantic
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from django_workflows import (
    create_hook,
    create_webhook,
    define_hook,
    hmac_signature,
    start,
    workflow,
)
from django_workflows.models import Event, Hook, Run
from django_workflows.replay import defined_hooks
from django_workflows.testing import WorkflowTester
from tests.admin.browsing import what_a_browser_sends
from tests.admin.pages import client_of, queries_of, read, run_url, user_with


class Approval(pydantic.BaseModel):
    """What the manager says."""

    approved: bool
    by: str
    limit: Decimal = Decimal("500.00")
    notes: list[str] = []

    @pydantic.field_validator("by")
    @classmethod
    def _is_a_name(cls, by: str) -> str:
        if by == "nobody":
            raise ValueError("somebody has to say it")
        return by


approval = define_hook(Approval)
number = define_hook(int)


@workflow(name="admin.approving")
async def approving(token: str = "t0ken") -> Any:
    with approval.create(token=token, metadata={"order": 7, "password": "hush"}) as h:
        return await h


@workflow(name="admin.counting")
async def counting() -> int:
    first: int = await number.create()
    return first


@workflow(name="admin.waiting")
async def waiting(count: int = 1, tokens: list[str] | None = None) -> list[Any]:
    named: Sequence[str | None] = tokens or [None] * count
    hooks = [create_hook(token=token, metadata={"n": token}) for token in named]
    return [await hook for hook in hooks]


@workflow(name="admin.listening")
async def listening() -> Any:
    signed = hmac_signature(secret="GITHUB_SECRET")
    return await create_webhook(
        token="s3cret", methods=["POST"], respond_with="manual", verify=signed
    )


@workflow(name="admin.opaque")
async def opaque() -> Any:
    """Waits for what another process has defined."""
    kind = defined_hooks.define_hook(Approval)
    kind.identity = "elsewhere.Unknown"
    return await kind.create()


@pytest.fixture
def begin(workflows: WorkflowTester) -> Iterator[Any]:
    """Starts a run, and lets it come to its hooks."""

    def started(target: Any, *args: Any) -> Run:
        run = start(target, *args)
        workflows.run_until_idle()
        run.refresh_from_db()
        return run

    return started  # type: ignore[return-value]


def page_of(hook: Hook) -> str:
    return reverse("admin:django_workflows_hook_change", args=[quote(hook.pk)])


def resume_url(hook: Hook, **query: str) -> str:
    url = reverse("admin:django_workflows_hook_resume", args=[quote(hook.pk)])
    return f"{url}?{urlencode(query)}" if query else url


def hook_of(run: Run) -> Hook:
    return Hook.objects.get(run=run)


def nothing_sent() -> bool:
    return not Event.objects.filter(type="hook_received").exists()


LIST = "admin:django_workflows_hook_changelist"
YES = {"approved": "on", "by": "Ada", "limit": "99.50", "notes": '["fine"]'}


# -- resuming -------------------------------------------------------------------------


def test_the_page_is_there_whether_its_id_is_quoted_or_not(
    admin_client: Client, begin: Any
) -> None:
    begin(waiting)
    for hook_id in ("hook_3EABC", "hook_5F3E", "hook_ABC"):
        Hook.objects.update(id=hook_id)
        for written in (hook_id, quote(hook_id)):
            for name in ("change", "history", "resume"):
                url = reverse(f"admin:django_workflows_hook_{name}", args=[written])
                send = admin_client.post if name == "resume" else admin_client.get
                answer = send(url, {"payload": "{"})
                assert answer.status_code == 200, url


def test_what_is_posted_to_the_page_of_a_hook_is_a_payload(
    admin_client: Client, workflows: WorkflowTester, begin: Any
) -> None:
    run = begin(waiting)
    page = page_of(hook_of(run))
    few = client_of(user_with("view_hook", "view_run"))
    assert few.post(page, {"payload": "1"}).status_code == 403
    wrong = admin_client.post(page, {"payload": "{"})
    assert wrong.status_code == 200
    assert "This is no JSON" in wrong.text
    assert nothing_sent()
    assert admin_client.post(page, {"payload": '{"a": 1}'}).status_code == 302
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.output == [{"a": 1}]


def test_a_hook_is_resumed_by_its_form(
    admin_client: Client, admin_user: User, workflows: WorkflowTester, begin: Any
) -> None:
    run = begin(approving)
    hook = hook_of(run)
    page = admin_client.get(page_of(hook)).text
    sent = what_a_browser_sends(page)
    assert {"by", "limit", "notes"} <= sent.keys()
    assert sent["limit"] == ["500.00"]
    assert f'action="{escape(resume_url(hook, run=run.pk))}"' in page
    answer = admin_client.post(
        resume_url(hook), {**sent, "approved": "on", "by": "Ada"}
    )
    assert answer.status_code == 302
    assert run.pk in answer["Location"]
    workflows.run_until_idle()
    assert run.result() == Approval(approved=True, by="Ada")
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user) == (run.pk, admin_user)
    assert entry.get_change_message() == f"Sent a payload to hook: {hook.pk}"
    told = read(admin_client, run_url(run))
    assert f"Sent a payload to hook: {hook.pk}" in told


def test_the_values_are_those_of_the_schema(
    admin_client: Client, workflows: WorkflowTester, begin: Any
) -> None:
    run = begin(approving)
    admin_client.post(resume_url(hook_of(run)), YES)
    workflows.run_until_idle()
    assert run.result() == Approval(
        approved=True, by="Ada", limit=Decimal("99.50"), notes=["fine"]
    )


@pytest.mark.parametrize(
    ("target", "typed", "result"),
    [
        (waiting, '{"a": [1, null]}', [{"a": [1, None]}]),
        (waiting, '"text"', ["text"]),
        (waiting, "", [None]),
        (counting, "7", 7),
    ],
)
def test_without_parts_a_payload_is_json(
    admin_client: Client,
    workflows: WorkflowTester,
    begin: Any,
    target: Any,
    typed: str,
    result: Any,
) -> None:
    run = begin(target)
    answer = admin_client.post(resume_url(hook_of(run)), {"payload": typed})
    assert answer.status_code == 302
    workflows.run_until_idle()
    assert run.result() == result


@pytest.mark.parametrize(
    ("target", "data", "fields"),
    [
        (approving, {"by": ""}, {"by"}),
        (approving, {"by": "nobody"}, {"by"}),
        (approving, {**YES, "limit": "much"}, {"limit"}),
        (approving, {**YES, "notes": "[1]", "by": "nobody"}, {"by", "notes"}),
        (approving, {**YES, "notes": "fine"}, {"notes"}),
        (counting, {"payload": '"seven"'}, {"payload"}),
        (counting, {"payload": ""}, {"payload"}),
        (waiting, {"payload": "text"}, {"payload"}),
        (waiting, {"payload": f'"{"x" * 1001}"'}, {"__all__"}),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_sent(
    admin_client: Client,
    begin: Any,
    settings: Any,
    target: Any,
    data: dict[str, str],
    fields: set[str],
) -> None:
    settings.WORKFLOWS = {"MAX_PAYLOAD_BYTES": 1000}
    hook = hook_of(begin(target))
    answer = admin_client.post(resume_url(hook), data)
    assert answer.status_code == 200
    assert answer.context["opened"].form.errors.keys() == fields
    sent = what_a_browser_sends(answer.text)
    assert {name: sent.get(name) for name in data} == {
        name: [typed] for name, typed in data.items()
    }
    assert nothing_sent()
    assert not LogEntry.objects.exists()


def test_a_schema_that_this_process_does_not_know_takes_nothing(
    admin_client: Client, begin: Any
) -> None:
    hook = hook_of(begin(opaque))
    told = read(admin_client, page_of(hook))
    assert "this process does not know elsewhere.Unknown" in told
    answer = admin_client.post(resume_url(hook), YES)
    assert answer.status_code == 200
    assert "elsewhere.Unknown" in answer.text
    assert nothing_sent()


def test_a_webhook_takes_nothing_from_here(admin_client: Client, begin: Any) -> None:
    hook = hook_of(begin(listening))
    told = read(admin_client, page_of(hook))
    assert "This is a webhook: it takes requests that are sent to its URL." in told
    assert "POST" in told
    assert "given by a step of the run" in told
    assert "github, with the secret in the setting GITHUB_SECRET" in told
    admin_client.post(resume_url(hook), {"payload": "1"})
    assert nothing_sent()


def test_a_hook_that_is_gone_leads_back_to_its_run(
    admin_client: Client, workflows: WorkflowTester, begin: Any
) -> None:
    run = begin(approving)
    hook = hook_of(run)
    run.cancel()
    workflows.run_until_idle()
    answer = admin_client.post(resume_url(hook, run=run.pk), YES, follow=True)
    assert "Nothing was sent: the run does not wait for this any more." in answer.text
    assert answer.request["PATH_INFO"].startswith(run_url(run).partition("wrun")[0])
    answer = admin_client.post(resume_url(hook), YES, follow=True)
    assert answer.redirect_chain == [(reverse(LIST), 302)]
    assert nothing_sent()


def test_looking_sends_nothing(admin_client: Client, begin: Any) -> None:
    hook = hook_of(begin(waiting))
    answer = admin_client.get(resume_url(hook))
    assert answer.status_code == 302
    assert admin_client.get(page_of(hook)).status_code == 200
    assert nothing_sent()


# -- who ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "permissions", [(), ("resume_run",), ("view_hook", "view_run", "change_hook")]
)
def test_who_may_not_resume_runs_sends_nothing(
    begin: Any, permissions: tuple[str, ...]
) -> None:
    hook = hook_of(begin(waiting))
    client = client_of(user_with(*permissions))
    assert client.post(resume_url(hook), {"payload": "1"}).status_code == 403
    assert nothing_sent()


@pytest.mark.parametrize("seen", ["view_run", "view_hook"])
def test_who_may_resume_what_they_see_sends(begin: Any, seen: str) -> None:
    hook = hook_of(begin(waiting))
    client = client_of(user_with("resume_run", seen))
    answer = client.post(resume_url(hook), {"payload": "1"}, follow=True)
    assert answer.status_code == 200
    assert "The payload has been sent to the run." in answer.text
    assert not nothing_sent()


def test_a_request_from_another_site_is_refused(admin_user: User, begin: Any) -> None:
    hook = hook_of(begin(waiting))
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(resume_url(hook), {"payload": "1"}).status_code == 403
    assert nothing_sent()


def test_without_the_permission_there_is_no_form(begin: Any) -> None:
    run = begin(approving)
    client = client_of(user_with("view_run", "view_hook"))
    for url in (page_of(hook_of(run)), run_url(run)):
        page = client.get(url).text
        assert "You may not send payloads to hooks." in page
        assert 'name="approved"' not in page


@pytest.mark.parametrize(
    ("permissions", "shows_token", "shows_metadata"),
    [
        (("view_hook", "view_run"), False, False),
        (("view_hook", "view_run", "resume_run"), False, False),
        (("view_hook", "view_run", "view_payload"), False, True),
        (("view_hook", "view_run", "view_payload", "resume_run"), True, True),
    ],
)
def test_tokens_and_payloads_are_shown_to_those_who_may_use_them(
    begin: Any,
    settings: Any,
    permissions: tuple[str, ...],
    shows_token: bool,
    shows_metadata: bool,
) -> None:
    settings.WORKFLOWS = {"REDACT": ["password"]}
    run = begin(approving)
    hook = hook_of(run)
    client = client_of(user_with(*permissions))
    page = client.get(page_of(hook)).text
    others = [client.get(url).text for url in (run_url(run), reverse(LIST))]
    assert ("t0ken" in page) == shows_token
    assert not any("t0ken" in other for other in others)
    for shown in (page, *others):
        assert ("&quot;order&quot;" in shown) == shows_metadata
        assert "hush" not in shown


@pytest.mark.parametrize("base", ["", "https://example.org/"])
def test_the_url_of_a_webhook_is_shown_to_those_who_may_use_it(
    admin_client: Client, begin: Any, settings: Any, base: str
) -> None:
    settings.WORKFLOWS = {"BASE_URL": base}
    hook = hook_of(begin(listening))
    site = base.rstrip("/") or "http://testserver"
    url = f"{site}/.well-known/workflow/v1/webhook/s3cret"
    assert url in admin_client.get(page_of(hook)).text
    other = client_of(user_with("view_hook", "view_payload"))
    assert "s3cret" not in other.get(page_of(hook)).text


# -- the list -------------------------------------------------------------------------


def test_the_list_tells_plain_hooks_and_webhooks_apart(
    admin_client: Client, begin: Any
) -> None:
    plain, web = begin(waiting), begin(listening)
    assert {plain.pk, web.pk} <= set(read(admin_client, reverse(LIST)).split())
    for kind, shown, hidden in (("plain", plain, web), ("webhook", web, plain)):
        told = read(admin_client, f"{reverse(LIST)}?kind={kind}")
        assert shown.pk in told
        assert hidden.pk not in told


def test_the_list_and_the_page_say_how_long_a_hook_has_waited(
    admin_client: Client, begin: Any, workflows: WorkflowTester
) -> None:
    hook = hook_of(begin(waiting))
    workflows.advance("3d")
    assert "3 d ago" in read(admin_client, reverse(LIST))
    assert "3 d ago" in read(admin_client, page_of(hook))


def test_hooks_are_found_by_their_ids_and_runs(
    admin_client: Client, begin: Any
) -> None:
    run, other = begin(waiting, 1, ["first"]), begin(waiting, 1, ["second"])
    for term in (run.pk, hook_of(run).pk):
        told = read(admin_client, f"{reverse(LIST)}?{urlencode({'q': term})}")
        assert run.pk in told
        assert other.pk not in told
    for term in ("first", "%", run.pk[:-1]):
        told = read(admin_client, f"{reverse(LIST)}?{urlencode({'q': term})}")
        assert run.pk not in told


def test_pages_need_as_many_queries_for_many_hooks(
    admin_client: Client, begin: Any
) -> None:
    one = begin(waiting)
    few = [queries_of(admin_client, url) for url in (reverse(LIST), run_url(one))]
    many = begin(waiting, 30)
    assert few == [
        queries_of(admin_client, url) for url in (reverse(LIST), run_url(many))
    ]
    assert queries_of(admin_client, page_of(hook_of(one))) < 8


# -- the page of the run --------------------------------------------------------------


def test_the_page_of_a_run_has_the_forms_of_its_open_hooks(
    admin_client: Client, workflows: WorkflowTester, begin: Any
) -> None:
    run = begin(waiting, 2)
    first, second = Hook.objects.filter(run=run).order_by("created_at", "id")
    page = admin_client.get(run_url(run)).text
    for hook in (first, second):
        assert f'action="{escape(resume_url(hook, run=run.pk))}"' in page
        assert f'id="{hook.pk}-payload"' in page
    for hook in (first, second):
        admin_client.post(resume_url(hook, run=run.pk), {"payload": f'"{hook.pk}"'})
    workflows.run_until_idle()
    assert sorted(run.result()) == sorted([first.pk, second.pk])
    told = read(admin_client, run_url(run))
    assert "2 hooks that take nothing any more" in told
    assert f"{first.pk} ended with the run 1" in told


def test_of_many_open_hooks_some_are_on_the_page_and_a_link_leads_to_all(
    admin_client: Client, begin: Any
) -> None:
    run = begin(waiting, 12)
    page = admin_client.get(run_url(run)).text
    assert page.count("Send this payload") == 10
    assert f"{reverse(LIST)}?q={run.pk}" in page
    link = f"{reverse(LIST)}?q={run.pk}"
    assert read(admin_client, link).count(run.pk) == 12


def test_a_hook_whose_token_another_run_has_is_told(
    admin_client: Client, begin: Any
) -> None:
    begin(waiting, 1, ["same"])
    refused = begin(waiting, 1, ["same"])
    told = read(admin_client, run_url(refused))
    assert "refused: another run has the token" in told


def test_a_run_without_hooks_has_no_panel(admin_client: Client, begin: Any) -> None:
    run = start(waiting)
    assert 'id="hooks"' not in admin_client.get(run_url(run)).text
