"""The scripts of the page about calling the API from JavaScript, in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page

from django_workflows import workflow
from django_workflows.models import Run
from tests.browser.contexts import new_context
from tests.docs.pages import ROOT, fences

CSRF = "c" * 32


@workflow(name="shop.checkout.in_a_browser", api=True)
async def checkout(cart: int) -> int:
    return cart


@pytest.fixture
def scripted(browser: Browser, live_url: str) -> Iterator[Page]:
    """A page of the site, with a session and the scripts of the documentation.

    Its context is its own: the others' pages take a refused request for a complaint.
    """
    page = new_context(browser).new_page()
    client = Client()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": CSRF}
    page.context.add_cookies(
        [{"name": n, "value": v, "url": live_url} for n, v in cookies.items()]
    )
    page.goto(f"{live_url}/workflows/api/runs/?format=json")
    page.evaluate("csrf => { document.body.dataset.csrf = csrf }", CSRF)
    scripts = fences(ROOT / "docs" / "how-to" / "javascript.md", "js")[:2]
    source = "\n".join(scripts).replace("shop.checkout", checkout.name)
    page.add_script_tag(content=source)
    yield page
    page.context.close()


def test_the_scripts_start_list_and_cancel(scripted: Page) -> None:
    run: Any = scripted.evaluate("checkout(42)")
    assert Run.objects.get().args == (42,)
    assert scripted.evaluate("checkout(42)") == run
    scripted.evaluate("checkout(43)")
    listed = scripted.evaluate(
        "async () => { const found = [];"
        " for await (const run of runs({ page_size: 1 })) found.push(run.id);"
        " return found }"
    )
    assert listed == list(
        Run.objects.order_by("created_at", "id").values_list("id", flat=True)
    )
    scripted.evaluate("run => cancel(run)", run)
    assert Run.objects.get(pk=run["id"]).status == "cancelled"


def test_the_scripts_tell_what_was_refused(scripted: Page) -> None:
    told = scripted.evaluate(
        "checkout('x').catch(error => JSON.stringify([error.message, error.answer]))"
    )
    message, answer = json.loads(told)
    assert message == "HTTP 400"
    assert list(answer) == ["cart"]
    scripted.evaluate("delete document.body.dataset.csrf")
    refused = scripted.evaluate("checkout(1).catch(error => error.message)")
    assert refused == "HTTP 403"
    assert not Run.objects.exists()
