"""A live page whose copies a test writes, without a site behind it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.browser.admin.console import refresh
from tests.browser.contexts import stop_clock

_SCRIPT = (
    Path(__file__).parents[3]
    / "django_workflows/static/django_workflows/admin/admin.js"
)
_URL = "http://console.test/"
_LIVE = '<p role="status" data-live-page hidden data-lost="Lost" data-ended="Over"></p>'


class ScriptedPage:
    """Shows what the test says; `asked` counts how often the page was fetched.

    By itself it fetches nothing: its clock stands still.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked = 0
        self._body = ""
        stop_clock(page)
        page.route(f"{_URL}**", self._answer)

    def show(self, body: str) -> None:
        """Open the page with this in it."""
        self._body = body
        self.page.goto(_URL)

    def become(self, body: str) -> None:
        """Let the server have this, and wait until the page has fetched it."""
        self._body = body
        with self.page.expect_response(_URL):
            refresh(self.page)
        # The number of the copy is a part of its own.
        expect(self.page.locator("#copy")).to_have_text(str(self.asked))

    def _answer(self, route: Route) -> None:
        if route.request.url.endswith("admin.js"):
            route.fulfill(path=_SCRIPT, content_type="text/javascript")
            return
        self.asked += 1
        route.fulfill(
            content_type="text/html",
            body=(
                f"<!doctype html><title>Live</title><main id=main>{self._body}</main>"
                f"<p id=copy data-live>{self.asked}</p>{_LIVE}"
                "<script type=module src=admin.js></script>"
            ),
        )
