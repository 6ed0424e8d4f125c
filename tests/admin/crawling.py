"""Looks at every page of the console, as somebody who follows all links."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from html import unescape
from urllib.parse import parse_qs, urljoin, urlsplit

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.test import Client
from django.urls import reverse

#: Links, and the addresses of forms, some of which ask before they do anything.
_ADDRESS = re.compile(r'\s(href|action)="([^"]*)"')
#: What Django adds to links so that one gets back to the list as it was.
_WAY_BACK = "_changelist_filters"


def page_names() -> list[str]:
    """What the pages of the console are called, but for the first: "run_change"."""
    names = {
        str(pattern.name).removeprefix("django_workflows_")
        for model, model_admin in admin.site._registry.items()
        if model._meta.app_label == "django_workflows"
        for pattern in model_admin.get_urls()
        if getattr(pattern, "name", None)
    }
    return sorted(names)


def crawl(client: Client) -> Iterator[tuple[str, str]]:
    """The address and the HTML of every page that is reached from the console's first.

    Of the many ways to narrow a list each parameter is tried once. Raises
    AssertionError for a link that leads nowhere.
    """
    first = reverse("admin:app_list", args=["django_workflows"])
    met = {first: {""}}
    waiting = deque([(first, "href", "")])
    while waiting:
        url, kind, found_on = waiting.popleft()
        answer = client.get(url)
        if kind == "action" and answer.status_code == 405:
            continue  # a form that does not ask
        assert answer.status_code in (200, 302), f"{url}, linked on {found_on}"
        # So Django answers to what no list can be narrowed by.
        refused = answer.get("Location", "").endswith("?e=1")
        assert not refused, f"{url}, linked on {found_on}"
        html = answer.content.decode()
        yield url, html
        for kind, address in _ADDRESS.findall(html):
            following = urlsplit(urljoin(url, unescape(address)))
            if not following.path.startswith(first):
                continue
            parameters = {"", *parse_qs(following.query)} - {_WAY_BACK}
            known = met.setdefault(unquote(following.path), set())
            if not parameters <= known:
                known |= parameters
                waiting.append((following._replace(fragment="").geturl(), kind, url))
