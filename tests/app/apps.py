"""The app whose tables the tests' steps write to."""

from __future__ import annotations

from django.apps import AppConfig


class TestAppConfig(AppConfig):
    """Holds models for the effects of steps, so that tests can count them."""

    name = "tests.app"
    label = "testapp"
    default_auto_field = "django.db.models.BigAutoField"
