"""Numbers that browsers read are written as HTML wants them, whatever the language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import formats

from django_workflows import start
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.crawling import crawl
from tests.security.passing import pass_everything
from tests.security.workflows import everything

pytestmark = pytest.mark.django_db

#: What stands for the separators of thousands and decimals in some language.
MARK = "¦"
#: Attributes that people read.
_TEXTS = ("alt", "aria-label", "data-label", "placeholder", "title")


class _Attributes(HTMLParser):
    """Finds attributes for browsers that have numbers for people in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # Lists and fieldsets of Django's own have some, which do not get large.
        if ("name", "index") in attrs or ("class", "action-counter") in attrs:
            return
        is_label = tag == "input" and ("type", "submit") in attrs
        for name, value in attrs:
            if name in _TEXTS or (name == "value" and is_label):
                continue
            if MARK in (value or "") and "fieldset-" not in (value or ""):
                self.found.add(f'<{tag} {name}="{value}">')


@pytest.fixture
def _marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number that Django writes for people has a mark, even if it is small."""
    monkeypatch.setattr(
        formats, "number_format", lambda value, *_args, **_kwargs: f"{value}{MARK}"
    )


@pytest.mark.usefixtures("_marked")
def test_no_attribute_has_a_number_for_people(workflows: WorkflowTester) -> None:
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    looked_at = []

    def look() -> None:
        looked_at.append(1)
        if len(looked_at) == 3:  # hooks are open, and steps wait to be tried again
            assert _wrong(crawl(root)) == set()

    pass_everything(workflows, look)
    assert len(looked_at) > 3
    pages = dict(crawl(root))
    assert _wrong(pages.items()) == set()
    assert any(re.search(rf">[^<]*\d{MARK}", html) for html in pages.values())


@pytest.mark.usefixtures("_marked")
@pytest.mark.parametrize("verb", ["cancel", "terminate"])
def test_reasons_are_as_long_as_people_may_write(
    verb: str, workflows: WorkflowTester
) -> None:
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    run = start(everything, "a", option=[])
    one = root.get(reverse(f"admin:django_workflows_run_{verb}", args=[run.pk]))
    many = root.post(
        reverse("admin:django_workflows_run_changelist"),
        {"action": f"{verb}_selected", ACTION_CHECKBOX_NAME: [run.pk]},
    )
    for answer in (one, many):
        assert 'maxlength="1000"' in answer.content.decode()
    assert Run.objects.get().status == "pending"


def _wrong(pages: Iterable[tuple[str, str]]) -> set[str]:
    return {each for _url, html in pages for each in _Attributes(html).found}
