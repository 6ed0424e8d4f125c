"""The example project as it is, on the tests' database and with a writer at a gate."""

from __future__ import annotations

import os

from tests import settings as of_tests

# The example project knows fewer databases than the tests do.
_url = os.environ.pop("DATABASE_URL")

from example_project import settings as of_example  # noqa: E402
from example_project.settings import *  # noqa: E402, F403

os.environ["DATABASE_URL"] = _url

DATABASES = of_tests.DATABASES
PASSWORD_HASHERS = of_tests.PASSWORD_HASHERS
# Who is slow is not taken for dead; whose process is gone is noticed at once.
WORKFLOWS = {**of_example.WORKFLOWS, "LEASE": "5m"}
TEXT_MODEL = "tests.browser.gate.GatedStoryteller"
