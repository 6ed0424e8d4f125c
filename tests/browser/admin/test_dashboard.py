"""The dashboard and the workers' pages as their users see them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from playwright.sync_api import expect

from django_workflows import start
from django_workflows.models import Run, Step, Worker
from django_workflows.testing import WorkflowTester
from tests.browser.admin import orders
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
from tests.browser.admin.orders import Decision, fulfil, ship, stamp


def add_workers(workflows: WorkflowTester) -> None:
    """One that is alive, one of an older deploy, one that does not answer."""
    now = workflows.now
    # The one that has done all of it.
    Worker.objects.update(host="web-4", started_at=now - timedelta(hours=9))
    Worker.objects.update(heartbeat_at=now, code="a01b" * 16)
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


def work_on(worker: str, *runs: Run) -> None:
    """Have a worker own runs, and run a step of the last one."""
    Worker.objects.filter(pk=worker).update(runs=len(runs), steps=1)
    Run.objects.filter(pk__in=[run.pk for run in runs]).update(owner=worker)
    call = runs[-1].steps.earliest("created_at")
    call.status, call.worker = Step.Status.RUNNING, worker
    call.started_at = Worker.objects.get(pk=worker).heartbeat_at
    call.save()


def tell_of_another_machine() -> None:
    """Steps take their time there, and paths and names are those of a shop."""
    for number, call in enumerate(Step.objects.filter(finished_at__isnull=False)):
        assert call.finished_at is not None
        took = (len(call.name) - 9) ** 4 + 37 * number % 210
        call.started_at = call.finished_at - timedelta(milliseconds=took)
        call.save(update_fields=["started_at"])
    for run in Run.objects.blocked():
        run.blocked_reason = run.blocked_reason.replace(orders.__file__, "orders.py")
        run.save(update_fields=["blocked_reason"])


def test_the_dashboard_tells_how_things_stand(
    console: Console, runs: dict[str, Run], workflows: WorkflowTester
) -> None:
    every_night()
    fulfil.start(42, Decimal("1840.00"))
    workflows.run_until_idle()
    Decision.resume("approval:42", {"approved": True})
    workflows.advance("10m")
    for order in range(20):
        start(ship, order, 3)
        workflows.run_until_idle()
        workflows.advance("35m")
    stamp.start(7)
    workflows.run_until_idle()
    late = start(ship, 99, 1)
    since = workflows.now - timedelta(seconds=42)
    Run.objects.filter(pk=late.pk).update(created_at=since, wake_at=since)
    add_workers(workflows)
    tell_of_another_machine()
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

    work_on("wrk_1", runs["waiting"], runs["sleeping"])
    page.set_viewport_size({"width": 1280, "height": 720})
    page.get_by_role("link", name="All workers").click()
    expect(page.locator("#result_list")).to_contain_text("web-2:4001")
    axe(page)
    shot(page, "workers")
    page.get_by_role("link", name="web-2:4001").click()
    expect(page.get_by_text("The newest worker runs other code")).to_be_visible()
    expect(page.get_by_role("link", name=runs["sleeping"].pk)).to_have_count(2)
    axe(page)
    shot(page, "worker")
