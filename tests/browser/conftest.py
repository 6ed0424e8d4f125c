"""One Chromium for all of these tests, a fresh context for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tests.browser.contexts import PATIENCE, new_context
from tests.browser.live import all_requests_ended
from tests.browser.scripted import ScriptedServer

#: What distributions and vendors call it.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Playwright, for this package only: its event loop occupies the thread."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Django takes that loop for async code, which this is not.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        expect.set_options(timeout=PATIENCE)
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """The system's Chromium, else one that Playwright has installed."""
    found = filter(None, map(shutil.which, NAMES))
    path = Path(next(found, playwright.chromium.executable_path))
    if not path.exists():
        reason = (
            f"no browser: none of {', '.join(NAMES)} is installed "
            "(`apt-get install chromium`, or `playwright install chromium`)"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    browser = playwright.chromium.launch(executable_path=path)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own session; what it complains about fails the test.

    Requests that fail are no complaint: connections are cut on purpose here. Neither is
    that the test site has no icon.
    """
    complaints: list[str] = []
    context = new_context(browser)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(f"{message.text} ({message.location['url']})")
            if message.type == "error"
            and "net::ERR" not in message.text
            and not message.location["url"].endswith("/favicon.ico")
            else None
        ),
    )
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def live_url(
    live_server: LiveServer, transactional_db: None, sessions_end: None
) -> Iterator[str]:
    """The address of a site in this process. Ask for it before `page`: once that is
    closed, it is waited for all requests to end."""
    with all_requests_ended(live_server):
        yield live_server.url


@pytest.fixture(params=["websocket", "sse"])
def server(page: Page, request: pytest.FixtureRequest) -> ScriptedServer:
    """A site whose streams say what the test wants them to say."""
    return ScriptedServer(page, request.param)


@pytest.fixture
def websockets(page: Page) -> ScriptedServer:
    """The same over websockets alone, for what does not depend on the transport."""
    return ScriptedServer(page, "websocket")
