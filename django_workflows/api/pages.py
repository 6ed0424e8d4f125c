"""What the API can be had as: JSON, and pages for people."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from rest_framework.renderers import (
    BaseRenderer,
    BrowsableAPIRenderer,
    JSONRenderer,
)
from rest_framework.settings import api_settings


def renderers() -> list[BaseRenderer]:
    """JSON, and REST framework's pages where the project has not switched them off.

    Their templates are found if "rest_framework" is in INSTALLED_APPS; without it there
    is only JSON.
    """
    defaults: Any = api_settings.DEFAULT_RENDERER_CLASSES
    pages = [made() for made in defaults if issubclass(made, BrowsableAPIRenderer)]
    return [JSONRenderer(), *(pages if apps.is_installed("rest_framework") else [])]
