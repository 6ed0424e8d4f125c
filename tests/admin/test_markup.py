"""What others have named or written is text in every page of the console."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from django_workflows import create_hook, create_schedule, get_writable, start, step
from django_workflows import workflow as define
from django_workflows.definitions import register
from django_workflows.testing import WorkflowTester
from tests.admin.crawling import crawl
from tests.definitions.registered import registered_for_a_while

pytestmark = pytest.mark.django_db

EVIL = "\"'><img src=x onerror=alert(1)>"
#: What a strict Content Security Policy forbids, and what would be somebody's attack.
_FORBIDDEN = re.compile(
    r"<img src=x|<[^>]*\s(?:on\w+|style)=|<style|<script(?![^>]*\ssrc=)|javascript:"
)
_VALUE = re.compile(r'"(?!javascript:)[^"]*"')


@step(name="markup.writes")
def writes(text: str) -> None:
    get_writable("words").write(text)
    get_writable(text).write(text)


@define(name=f"markup {EVIL}")
async def marked(text: str) -> None:
    await writes(text)
    with create_hook(token=text, metadata={text: text}) as hook:
        await hook
    raise ValueError(text)


@define(name="markup.failing")
async def failing(text: str) -> None:
    raise ValueError(text)


def test_markup_is_shown_and_no_page_has_scripts_of_its_own(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    attributes = {EVIL: EVIL}
    with registered_for_a_while():
        start(marked.options(key=EVIL, attributes=attributes), EVIL)
        start(failing, EVIL)
        start(marked.options(queue=EVIL), EVIL).cancel(EVIL)
        create_schedule(EVIL, marked, args=[EVIL], interval="1d", note=EVIL)
        one = {"id": EVIL, "name": EVIL, "action": "noop", "params": {EVIL: EVIL}}
        register({"id": EVIL, "name": EVIL, "steps": [one]})
        workflows.run_until_idle()
        seen = 0
        for url, html in crawl(admin_client):
            content = html.partition('id="content"')[2]
            found = _FORBIDDEN.search(_VALUE.sub('""', content))
            assert found is None, url
            seen += "&lt;img src=x" in content
        assert seen > 10
