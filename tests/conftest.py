"""Fixtures for every test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["django_workflows.testing.plugin"]

# One profile for machines of any speed: no deadline per example, and a fixed seed so
# that a failure in CI is the same failure at home. HYPOTHESIS_PROFILE=long digs deeper.
settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    print_blob=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("long", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
