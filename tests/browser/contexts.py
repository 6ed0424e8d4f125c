"""Contexts of the browser, which wait as long as all that waits in tests."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from tests.cluster.harness import DEADLINE

#: Milliseconds until something that does not happen fails a test.
PATIENCE = DEADLINE * 1000


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A session of its own."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    return context


def stop_clock(page: Page) -> None:
    """Let time stand still on the pages to come, but for what `page.clock` is told:
    nothing happens there by itself, however long a test takes."""
    page.clock.install(time=0)
    page.clock.pause_at(3600)
