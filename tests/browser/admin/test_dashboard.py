"""The dashboard and the workers' pages as their users see them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from playwright.sync_api import expect

from django_workflows import resume_hook, start
from django_workflows.models import Run, Worker
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import (
    NARROW,
    Console,
    axe,
    inline,
    refresh,
    shot,
    too_wide,
)
from tests.browser.admin.invitations import every_night
from tests.browser.admin.orders import fulfil, ship, stamp


def add_workers(workflows: WorkflowTester) -> None:
    """One that is alive, one of an older deploy, one that does not answer."""
    now = workflows.now
    for number, (code, silence) in enumerate([("4f1c", 1), ("a01b", 2), ("a01b", 90)]):
        Worker.objects.create(
            id=f"wrk_{number}",
            host=f"web-{number + 1}",
            pid=4000 + number,
            queues="default,mail",
            code=code * 16,
            started_at=now - timedelta(hours=3 * number + 1),
            heartbeat_at=now - timedelta(seconds=silence),
            runs=12 - number,
            steps=3 * number,
        )


def test_the_dashboard_tells_how_things_stand(
    console: Console, runs: dict[str, Run], workflows: WorkflowTester
) -> None:
    every_night()
    fulfil.start(42, Decimal("1840.00"))
    workflows.run_until_idle()
    resume_hook("approval:42", {"approved": True})
    workflows.advance("10m")
    for order in range(20):
        start(ship, order, 3)
        workflows.run_until_idle()
        workflows.advance("35m")
    stamp.start(7)
    workflows.run_until_idle()
    start(ship, 99, 1)
    workflows.advance("1s")
    add_workers(workflows)
    page = console.open("app_list", "django_workflows")
    page.evaluate("window.isTheSame = true")
    starts = page.locator("#dashboard-starts")
    bars = starts.locator("rect.dw-bar-completed title")
    before = bars.last.text_content()
    assert inline(page) == []
    axe(page)
    shot(page, "dashboard")

    start(ship, 100, 1)
    workflows.run_until_idle()
    refresh(page)
    expect(bars.last).not_to_have_text(before or "")
    assert page.evaluate("window.isTheSame") is True

    page.emulate_media(color_scheme="dark")
    axe(page, "color-contrast")
    shot(page, "dashboard-dark")
    page.set_viewport_size(NARROW)
    assert too_wide(page) == []
    page.emulate_media(color_scheme="light")
    shot(page, "dashboard-narrow")

    page.get_by_role("link", name="30 days").click()
    expect(page.get_by_role("link", name="30 days")).to_have_attribute(
        "aria-current", "true"
    )
    numbers = starts.locator("details")
    numbers.get_by_text("Numbers").click()
    expect(numbers.get_by_role("row")).to_have_count(31)

    page.set_viewport_size({"width": 1280, "height": 720})
    page.get_by_role("link", name="All workers").click()
    axe(page)
    shot(page, "workers")
    page.get_by_role("link", name="web-2:4001").click()
    expect(page.get_by_text("The newest worker runs other code")).to_be_visible()
    axe(page)
    shot(page, "worker")
