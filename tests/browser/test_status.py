"""`<workflow-status>`: rendered on the server first, then live."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.scripted import ScriptedServer, status

BADGE = (
    '<workflow-status run="wrun_1" status="pending" transport="{}" '
    'sse-url="/api/runs/wrun_1/stream/" labels=\'{{"running": "läuft"}}\'>'
    "wartet</workflow-status>"
)


def test_badge_follows_the_run_to_its_end(page: Page, server: ScriptedServer) -> None:
    server.script = [[status("running")], [status("running"), status("timed_out")]]
    server.show(BADGE.format(server.transport))
    badge = page.get_by_role("status")
    expect(badge).to_have_text("timed out")
    expect(badge).to_have_attribute("status", "timed_out")
    expect(badge).to_have_attribute("state", "closed")
    assert len(server.queries) == 2


def test_badge_speaks_the_language_of_the_page(
    page: Page, websockets: ScriptedServer
) -> None:
    websockets.script = [[status("running"), None]]
    websockets.show(BADGE.format("websocket"))
    badge = page.get_by_role("status")
    expect(badge).to_have_text("läuft")
    assert websockets.queries == [{"chunks": "0"}]


def test_badge_of_an_ended_run_does_not_connect(
    page: Page, websockets: ScriptedServer
) -> None:
    ended = BADGE.replace("pending", "failed").format("websocket")
    websockets.script = [[status("running"), None]]
    websockets.show(ended + BADGE.format("websocket"))
    expect(page.get_by_role("status").last).to_have_text("läuft")
    expect(page.get_by_role("status").first).to_have_text("wartet")
    assert len(websockets.queries) == 1
