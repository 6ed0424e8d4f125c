"""Settings of the sites and workers under test."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "tests.push"]
# Who is slow is not taken for dead; whose process is gone is noticed at once.
WORKFLOWS = {"LEASE": "5m"}
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
