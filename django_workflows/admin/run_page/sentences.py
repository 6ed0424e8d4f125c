"""Sentences about a run, whose ids lead to what they name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from django_workflows.admin.addresses import run_url

_IDS = re.compile(r"\b(?:wrun|hook)_[0-9A-HJKMNP-TV-Z]{26}\b")


def linked(text: str, hooks: Collection[str] = ()) -> SafeString:
    """The text, in which ids of runs lead to their pages, and ids of these hooks to
    their forms on this page."""
    return mark_safe("".join(_parts(text, hooks)))  # noqa: S308 (parts are escaped)


def _parts(text: str, hooks: Collection[str]) -> Iterator[str]:
    place = 0
    for found in _IDS.finditer(text):
        yield conditional_escape(text[place : found.start()])
        name = found[0]
        if name in hooks:
            yield format_html('<a href="#{0}-hook">{0}</a>', name)
        elif name.startswith("wrun_"):
            yield format_html('<a href="{}">{}</a>', run_url(name), name)
        else:
            yield name
        place = found.end()
    yield conditional_escape(text[place:])
