"""The documentation holds together: links lead somewhere, the README keeps its form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, fences, links

by_path = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)


@by_path
def test_links_lead_to_a_file_and_heading(page: Path) -> None:
    for target in links(page):
        if target.startswith(("https://", "http://")):
            continue
        name, _, fragment = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if fragment:
            assert fragment in anchors(linked), target


@by_path
def test_page_is_reached_from_the_readme_or_the_index(page: Path) -> None:
    if page.name == "README.md":
        return
    entrances = (ROOT / "README.md", ROOT / "docs" / "index.md")
    reached = {
        (entrance.parent / target.partition("#")[0]).resolve()
        for entrance in entrances
        for target in links(entrance)
    }
    assert page in reached | set(entrances)


def test_readme_begins_with_the_two_commands() -> None:
    demo, tests = fences(ROOT / "README.md", "sh")[:2]
    assert demo == "python3 dev.py demo\n"
    assert tests == "python3 dev.py test\n"
