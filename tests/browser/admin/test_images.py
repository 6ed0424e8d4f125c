"""Takes the pictures of docs/images, when asked to:

ADMIN_SHOTS=docs/images python -m pytest tests/browser/admin

Make them small afterwards: `mogrify -colors 96 docs/images/admin-*.png`.
"""

from __future__ import annotations

import random
from asyncio import gather
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from django_workflows import sleep, start_child, workflow
from django_workflows.models import Run
from django_workflows.replay.steps import Step
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import NARROW, SHOTS, Console, shot
from tests.browser.admin.orders import (
    Decision,
    charge,
    print_label,
    reserve,
    runs_in_all_states,
    ship,
    tell,
)

pytestmark = pytest.mark.skipif(not SHOTS, reason="ADMIN_SHOTS names no folder")


@workflow(name="shop.prepare")
async def prepare(order: int, amount: Decimal) -> str:
    """Get an order ready to be picked up."""
    await reserve(order)
    with Decision.create(token=f"prepare:{order}") as decision:
        await gather(*(print_label(order, carton) for carton in range(1, 4)))
        await decision
    receipt = await charge(order, amount)
    await start_child(ship, order, 2)
    await sleep("10s")
    await tell(order, "Your order waits for you.")
    return receipt


@pytest.fixture
def shop(workflows: WorkflowTester) -> dict[str, Run]:
    """The runs of a shop, whose steps take their time."""
    chance = random.Random(7)

    def takes(step: Step[..., Any], least: float, most: float) -> None:
        code: Callable[..., Any] = step.func

        def work(*args: Any) -> Any:
            spent = chance.uniform(least, most)
            workflows._set_now(workflows.now_us() + round(spent * 1_000_000))
            return code(*args)

        workflows.mock_step(step, side_effect=work)

    for step, least, most in (
        (reserve, 0.2, 0.9),
        (print_label, 0.4, 2.5),
        (charge, 1.5, 3.5),
        (tell, 0.3, 0.6),
    ):
        takes(step, least, most)

    runs = runs_in_all_states(workflows)
    runs["prepared"] = prepare.start(10300, Decimal("120.00"))
    workflows.run_until_idle()
    workflows.advance("9s")
    Decision.resume("prepare:10300", {"approved": True})
    workflows.advance("1m")
    return runs


@pytest.fixture
def page(page: Page) -> Page:
    """Without Django's list of apps at the side."""
    page.add_init_script(
        "localStorage.setItem('django.admin.navSidebarIsOpen', 'false')"
    )
    page.set_viewport_size({"width": 1200, "height": 800})
    return page


def test_pictures(console: Console, shop: dict[str, Run]) -> None:
    page = console.page
    console.open("django_workflows_run_changelist")
    shot(page, "runs", height=1420)
    console.open_run(shop["prepared"])
    shot(page, "run", height=1560)
    page.emulate_media(color_scheme="dark")
    shot(page, "run-dark", height=1560)
    page.emulate_media(color_scheme="light")
    console.open_run(shop["failed"])
    shot(page, "run-failed", height=960)
    console.open_run(shop["completed"])
    timeline = page.locator("#timeline")
    timeline.screenshot(path=Path(SHOTS or "") / "admin-timeline.png")
    console.open("django_workflows_run_start", query="?workflow=shop.fulfil")
    page.get_by_text("Options").click()
    shot(page, "start")
    page.set_viewport_size(NARROW)
    console.open_run(shop["waiting"])
    shot(page, "run-narrow", height=1900)
