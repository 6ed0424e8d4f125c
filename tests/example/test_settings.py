from __future__ import annotations

import pytest
from django.conf import Settings


def test_settings_need_nothing_that_django_will_drop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Django warns of it when it reads them, and a warning fails the test."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings = Settings("example_project.settings")
    assert settings.SETTINGS_MODULE == "example_project.settings"
