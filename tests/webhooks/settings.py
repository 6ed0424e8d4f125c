"""Settings of the servers and workers under test."""

from __future__ import annotations

from tests.faults.processes.settings import *  # noqa: F403
from tests.faults.processes.settings import INSTALLED_APPS as APPS
from tests.faults.processes.settings import WORKFLOWS as COMMON

INSTALLED_APPS = [*APPS, "tests.webhooks"]
TEST_SECRETS = ["a secret of the tests"]
WORKFLOWS = COMMON | {"WEBHOOK_RESPONSE_TIMEOUT": "90s"}
