"""The console with somebody logged in, and runs to look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page

from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.browser.admin.actions import sent
from tests.browser.admin.console import Console
from tests.browser.admin.orders import runs_in_all_states


@pytest.fixture
def console(
    request: pytest.FixtureRequest, live_url: str, page: Page
) -> Iterator[Console]:
    """The console of a site in this process, with a superuser logged in.

    A test that is marked with actions has to send them.
    """
    console = Console(page, live_url)
    console.log_in(User.objects.create_superuser("ada"))
    done: set[str] = set()
    page.on("request", lambda request: done.update(sent(request)))
    yield console
    marks = request.node.iter_markers("does")
    assert {action for mark in marks for action in mark.args} <= done


@pytest.fixture
def runs(console: Console, workflows: WorkflowTester) -> dict[str, Run]:
    """Real runs of a shop by their statuses; also "waiting", "sleeping" and "blocked".

    Time stands still at `workflows.now`, for the pages too.
    """
    return runs_in_all_states(workflows)
