"""The public route of webhooks, for ``include()`` at the root of the site."""

from __future__ import annotations

import re

from django.urls import URLPattern, URLResolver, re_path

from django_workflows.core.webhooks import PATH
from django_workflows.webhooks.views import webhook

urlpatterns: list[URLPattern | URLResolver] = [
    # A token may hold anything, slashes and line breaks included.
    re_path(rf"^{re.escape(PATH)}(?P<token>[\s\S]*)\Z", webhook, name="webhook"),
]
