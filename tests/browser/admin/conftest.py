"""The console with somebody logged in, and runs to look at."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.browser.admin.console import Console
from tests.browser.admin.orders import runs_in_all_states


@pytest.fixture
def console(
    page: Page, live_server: LiveServer, transactional_db: None, sessions_end: None
) -> Console:
    """The console of a site in this process, with a superuser logged in."""
    console = Console(page, live_server.url)
    console.log_in(User.objects.create_superuser("ada"))
    return console


@pytest.fixture
def runs(console: Console, workflows: WorkflowTester) -> dict[str, Run]:
    """Real runs of a shop by their statuses; also "waiting", "sleeping" and "blocked".

    Time stands still at `workflows.now`, for the pages too.
    """
    return runs_in_all_states(workflows)
