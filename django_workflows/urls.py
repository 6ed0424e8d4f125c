"""The public route of webhooks, for ``include()`` at the root of the site."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
