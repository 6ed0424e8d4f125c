"""All pages of the console, found as a user finds them: by following links."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.urls import resolve, reverse
from playwright.sync_api import Page

from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import (
    NARROW,
    Console,
    barriers,
    inline,
    too_wide,
)
from tests.browser.admin.invitations import every_night, invite

#: What links lead to: all pages but those that ask a question first.
REACHED = {
    "app_list",
    *(f"django_workflows_run_{page}" for page in ("changelist", "change", "start")),
    *(f"django_workflows_event_{page}" for page in ("changelist", "change")),
    *(f"django_workflows_hook_{page}" for page in ("changelist", "change")),
    *(f"django_workflows_worker_{page}" for page in ("changelist", "change")),
    *(f"django_workflows_schedule_{page}" for page in ("changelist", "add", "change")),
    *(
        f"django_workflows_definition_{page}"
        for page in ("changelist", "add", "change")
    ),
    *(
        f"django_workflows_definition_{page}"
        for page in ("changelist", "add", "change")
    ),
}


@pytest.fixture
def shop(runs: dict[str, Run], workflows: WorkflowTester) -> dict[str, Run]:
    """Runs in all states, that of a definition, and a schedule."""
    runs["defined"] = invite()
    every_night()
    workflows.run_until_idle()
    return runs


def pages(console: Console) -> Iterator[str]:
    """Open one page of each kind; yield its name."""
    known: set[str] = set()
    to_do = [f"{console.url}{reverse('admin:app_list', args=['django_workflows'])}"]
    while to_do:
        url = to_do.pop(0)
        name = resolve(urlsplit(url).path).url_name or ""
        if name in known:
            continue
        known.add(name)
        console.page.goto(url)
        yield name
        links = console.page.locator("main a[href*='/admin/django_workflows/']")
        # Links in pictures have no `href` that is a text.
        to_do += links.evaluate_all(
            "all => all.map((a) => new URL(a.getAttribute('href'), a.baseURI))"
            ".map((url) => url.href.split('#')[0])"
        )


def problems(page: Page) -> list[str]:
    """Look at the page in light and dark, and on a phone."""
    found = inline(page)
    # Colours that are changing are no colours to judge.
    page.evaluate(
        """() => {
        const still = new CSSStyleSheet();
        still.replaceSync("* { transition: none !important }");
        document.adoptedStyleSheets = [still];
        }"""
    )
    found += barriers(page)
    page.emulate_media(color_scheme="dark")
    found += barriers(page, "color-contrast")
    page.set_viewport_size(NARROW)
    found += too_wide(page)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 720})
    return found


def test_every_page_can_be_read_by_everybody(
    console: Console, shop: dict[str, Run]
) -> None:
    found = {
        state: problems(console.open_run(shop[state]))
        for state in ("waiting", "blocked", "defined")
    }
    asked = console.open("django_workflows_run_cancel", shop["waiting"].pk)
    found["cancel"] = problems(asked)
    form = console.open("django_workflows_run_start", query="?workflow=shop.fulfil")
    found["start"] = problems(form)
    found |= {name: problems(console.page) for name in pages(console)}
    assert {name: problem for name, problem in found.items() if problem} == {}
    assert found.keys() >= REACHED
