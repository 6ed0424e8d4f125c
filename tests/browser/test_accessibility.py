"""The elements in the light of axe, the rules that accessibility tools agree on."""

from __future__ import annotations

from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.scripted import ScriptedServer, chunk, status

STATUSES = ["pending", "running", "paused", "completed", "failed", "timed_out"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_elements_keep_the_rules(
    page: Page, websockets: ScriptedServer, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    websockets.script = [
        [status("running"), chunk(0, "Once upon"), chunk(1, {"progress": 0.5}), None]
    ]
    badges = "".join(
        f'<workflow-status status="{status}">{status}</workflow-status>'
        for status in STATUSES
    )
    websockets.show(f"<h1>Live</h1>{websockets.element()}{badges}")
    expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()
    websockets.sockets[0].close(code=1001)
    expect(page.locator("workflow-stream")).to_have_attribute("state", "reconnecting")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
