"""The console in a browser: who is logged in, where to go, and what it looks like."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from playwright.sync_api import FloatRect, Page, ViewportSize

#: The folder to write the documentation's images to; none are written without it.
#: `ADMIN_SHOTS=docs/images python -m pytest tests/browser/admin`
SHOTS = os.environ.get("ADMIN_SHOTS")
_ROOT = Path(__file__).parents[3]
#: Pictures show no folder of the machine that they were taken on.
_WITHOUT_PATHS = """([root, other]) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        if (text.data.includes(root)) text.data = text.data.replaceAll(root, other);
    }
}"""
_AXE = Axe().axe_script
#: The colours of Django's links change bit by bit: in between they are none to judge.
_AT_ONCE = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("*, ::before, ::after { transition: none !important }");
    document.adoptedStyleSheets.push(sheet);
}"""
WIDE: ViewportSize = {"width": 1280, "height": 720}
NARROW: ViewportSize = {"width": 390, "height": 844}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("dark", "light")
#: Fields that something is wrong with; since Django 6.1 it is said within the row.
WRONG = ".form-row:is(.errors, :has(.errors))"


class Console:
    """A page of Chromium, and the admin of a site."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        #: Who is logged in.
        self.user: User

    def log_in(self, user: User) -> None:
        """Be this user from now on."""
        self.user = user
        client = Client()
        client.force_login(user)
        session = client.cookies["sessionid"].value
        self.page.context.add_cookies(
            [{"name": "sessionid", "value": session, "url": self.url}]
        )

    def open(self, name: str, *args: object, query: str = "") -> Page:
        """Go to the page of this name: of "admin:", without that."""
        path = reverse(f"admin:{name}", args=args)
        self.page.goto(f"{self.url}{path}{query}")
        return self.page

    def open_run(self, run: Any) -> Page:
        """Go to the page of a run."""
        return self.open("django_workflows_run_change", run.pk)


def refresh(page: Page) -> None:
    """Have a live page fetch itself anew now, as when its tab is shown again."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def act(page: Page, action: str) -> None:
    """Choose what is done with the rows that are ticked, and begin it: by a button that
    Django has called "Go", and "Run" since 6.1."""
    page.get_by_label("Action:").select_option(action)
    page.locator("button[name=index]").click()


def axe(page: Page, *rules: str) -> None:
    """Fail if something is a serious problem to anybody; by all rules, or these."""
    problems = barriers(page, *rules)
    assert not problems, problems


def barriers(page: Page, *rules: str) -> list[str]:
    """Return what axe finds serious or critical, and where."""
    # To list all that is in order takes longer than to find what is not. Style sheets
    # would be fetched anew for a rule that is not on.
    if not runs_scripts(page):
        return []  # axe is a script; the page is looked at by it where they run
    options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
    if rules:
        options["runOnly"] = list(rules)
    page.wait_for_load_state()
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE)
        page.evaluate(_AT_ONCE)
    found = page.evaluate(
        "async (options) => (await axe.run(options)).violations", options
    )
    return [
        f"{problem['id']}: {problem['help']}: {node['html']}"
        for problem in found
        if problem["impact"] in ("serious", "critical")
        for node in problem["nodes"]
    ]


def problems(page: Page) -> list[str]:
    """Return what is wrong with a page in light or dark, on a desk or on a phone."""
    found = inline(page)
    for size, scheme in product((NARROW, WIDE), SCHEMES):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        wrong = [*barriers(page), *too_wide(page)]
        found += [f"{scheme}, {size['width']} px: {problem}" for problem in wrong]
    return found


def runs_scripts(page: Page) -> bool:
    """Whether the browser runs the scripts of this page."""
    return bool(page.evaluate("matchMedia('(scripting: enabled)').matches"))


def too_wide(page: Page) -> list[str]:
    """Return what makes the page as a whole scroll sideways."""
    page.wait_for_load_state()
    found: list[str] = page.evaluate(
        """() => {
        const room = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= room) return [];
        const isHidden = (e) => e.closest(".dw-scroll, .results, [hidden]");
        return [...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > room && !isHidden(e))
            .map((e) => e.outerHTML.slice(0, 120));
        }"""
    )
    return found


def inline(page: Page) -> list[str]:
    """Return scripts and styles of the app that a site's policy may forbid."""
    page.wait_for_load_state()
    found: list[str] = page.locator(
        "#content :is([style], style, [onclick], [onchange], [onsubmit],"
        " script:not([src], [type='application/json']))"
    ).evaluate_all("all => all.map((e) => e.outerHTML)")
    return found


def shot(page: Page, name: str, height: int | None = None) -> None:
    """Write `admin-<name>.png` for the documentation, if asked to: all of the page, or
    its top."""
    if SHOTS and runs_scripts(page):
        page.evaluate(_WITHOUT_PATHS, [str(_ROOT), "/srv/shop"])
        page.evaluate("scrollTo(0, 0)")
        path = Path(SHOTS) / f"admin-{name}.png"
        if height is None or page.viewport_size is None:
            page.screenshot(path=path, full_page=True)
        else:
            width = page.viewport_size["width"]
            top = FloatRect(x=0, y=0, width=width, height=height)
            page.screenshot(path=path, full_page=True, clip=top)
