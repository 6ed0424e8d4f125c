"""Settings of clusters with newer code."""

from __future__ import annotations

from tests.cluster.settings import *  # noqa: F403
from tests.cluster.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "tests.cluster.newer"]
