"""What can be done on the pages of the console: offered by them, and tried by tests.

An action is named by the page that a form is sent to. If the form lets people choose,
by buttons, in a list of actions or by fields to look for something, what is chosen
follows: "run_cancel", "schedule_add:_preview", "run_changelist:wake_selected" and
"run_changelist:q".
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.urls import Resolver404, resolve
from playwright.sync_api import Page, Request

#: The forms of a page: where each is sent to, and what can be chosen.
_FORMS = """() => [...document.querySelectorAll("main form")].flatMap((form) => {
    const list = form.querySelector("select[name=action]");
    const names = (all) => [...form.querySelectorAll(all)].map((e) => e.name);
    const chosen = list
        ? [...list.options].map((option) => option.value).filter(Boolean)
        : form.method === "post"
          ? names("[type=submit], button:not([type])")
          : names("input:not([type=hidden], [type=submit]), select");
    const url = new URL(form.getAttribute("action") ?? "", location.href);
    return chosen.map((choice) => [url.href, choice]);
})"""


def page_name(url: str) -> str:
    """What the page of this address is called; empty for what is none of ours."""
    try:
        found = resolve(urlsplit(url).path)
    except Resolver404:
        return ""
    if found.kwargs.get("app_label") == "django_workflows":
        return "dashboard"
    before, _prefix, name = (found.url_name or "").partition("django_workflows_")
    return "" if before else name


def offered(page: Page) -> set[str]:
    """The actions that a page offers."""
    return {_action(page_name(url), choice) for url, choice in page.evaluate(_FORMS)}


def sent(request: Request) -> Iterator[str]:
    """The actions that a request may be."""
    page = page_name(request.url)
    if not page:
        return
    data = parse_qs(urlsplit(request.url).query, keep_blank_values=True)
    if request.method == "POST":
        yield page
        data |= parse_qs(request.post_data or "", keep_blank_values=True)
    for choice in (*data, *data.get("action", ())):
        yield _action(page, choice)


def tried() -> set[str]:
    """The actions that tests of this folder are marked with."""
    folder = Path(__file__).parent
    modules = [
        import_module(f"{__package__}.{path.stem}") for path in folder.glob("test_*.py")
    ]
    marks = [
        mark
        for module in modules
        for name, test in vars(module).items()
        if name.startswith("test_")
        for mark in getattr(test, "pytestmark", ())
    ]
    cases = [
        case
        for mark in marks
        if mark.name == "parametrize"
        for case in mark.args[1]
        if hasattr(case, "marks")
    ]
    marks += [mark for case in cases for mark in case.marks]
    return {action for mark in marks if mark.name == "does" for action in mark.args}


def _action(page: str, choice: Any) -> str:
    return f"{page}:{choice}" if choice else page
