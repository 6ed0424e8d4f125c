"""The Django app of the stories."""

from __future__ import annotations

from django.apps import AppConfig


class StoriesConfig(AppConfig):
    """Texts about the shop's products, written word by word."""

    name = "example_project.stories"
    label = "stories"
