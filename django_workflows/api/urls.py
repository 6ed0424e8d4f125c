"""Routes of the REST API, for ``include()`` under a prefix of the project's choice."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
