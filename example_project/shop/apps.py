"""The shop's app config."""

from __future__ import annotations

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The example project's one app."""

    name = "example_project.shop"
    label = "shop"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import care, reports  # noqa: F401  (register and connect themselves)
