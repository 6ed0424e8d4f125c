"""The example project as it is, on the tests' database and with a writer at a gate."""

from __future__ import annotations

import os

from example_project.settings import *  # noqa: F403
from tests.databases import parse
from tests.settings import PASSWORD_HASHERS as PASSWORD_HASHERS

DATABASES = {"default": parse(os.environ["DATABASE_URL"])}
TEXT_MODEL = "tests.browser.gate.GatedStoryteller"
