"""The example's page, with a real site and real workers, which are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth import get_user_model
from django.db import connection
from django.urls import reverse
from playwright.sync_api import Page, expect

from django_workflows import get_run
from django_workflows.models import StreamChunk
from example_project.shop import northwind
from tests.browser.gate import VARIABLE, Gate
from tests.browser.site import SETTINGS, Site
from tests.browser.test_stream import closed, text_of
from tests.cluster.harness import ClusterProcess
from tests.databases import url_of


@pytest.fixture
def database_url(transactional_db: None, sessions_end: None) -> str:
    return url_of(connection.settings_dict)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    path = tmp_path / "gate"
    monkeypatch.setenv(VARIABLE, str(path))
    return Gate(path)


@pytest.fixture
def site(database_url: str, gate: Gate, tmp_path: Path) -> Iterator[Site]:
    with Site(database_url, tmp_path) as site:
        yield site


@pytest.fixture
def cluster(database_url: str, gate: Gate, tmp_path: Path) -> Iterator[ClusterProcess]:
    with ClusterProcess(database_url, tmp_path, settings=SETTINGS) as cluster:
        cluster.ready()
        yield cluster


def words_shown(page: Page, number: int) -> None:
    expect(page.locator("#words")).to_have_text(str(number))
    assert len(text_of(page).split()) == number


def test_text_on_the_page_is_the_stream_whatever_breaks(
    page: Page, site: Site, cluster: ClusterProcess, gate: Gate
) -> None:
    northwind.load(50)
    get_user_model().objects.create_superuser("admin", password="admin")

    # Strangers are asked who they are first.
    page.goto(f"{site.url}/stories/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill("admin")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Product").select_option("Tofu")
    page.get_by_role("button", name="Tell me").click()
    expect(page).to_have_title("Tofu · Northwind")
    run = get_run(page.url.rstrip("/").rpartition("/")[2])

    gate.open_for(1)
    words_shown(page, 1)
    gate.open_for(10)
    words_shown(page, 10)
    expect(page.locator("workflow-status")).to_have_text("running")

    # The site dies, and more is written meanwhile.
    stream = page.locator("workflow-stream")
    site.kill()
    expect(stream).to_have_attribute("state", "reconnecting")
    gate.open_for(20)
    site.start()
    words_shown(page, 20)

    page.reload()
    words_shown(page, 20)

    # The workers die in the middle of the story.
    gate.open_for(30)
    words_shown(page, 30)
    for pid in cluster.pids("worker"):
        os.kill(pid, signal.SIGKILL)
    gate.open_for(10_000)
    closed(page)
    expect(page.locator("workflow-status")).to_have_text("completed")

    chunks = list(StreamChunk.objects.filter(stream__run=run).order_by("index"))
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert {chunk.attempt for chunk in chunks[:30]} == {1}
    assert {chunk.attempt for chunk in chunks[30:]} == {2}
    stored = "".join(chunk.data for chunk in chunks)
    assert text_of(page) == stored == run.result()
    expect(page.locator("#happenings")).to_have_text(
        "Attempt 1 broke off. Attempt 2 went on with word 31."
    )

    # Whoever comes later reads the same, over plain HTTP too.
    page.reload()
    closed(page)
    assert text_of(page) == stored
    stream.evaluate(
        """async (element, url) => {
            const closed = new Promise((closed) => {
                element.addEventListener("closed", closed);
            });
            element.setAttribute("sse-url", url);
            element.setAttribute("transport", "sse");
            await closed;
        }""",
        reverse("workflows_api:run-stream", args=[run.pk]),
    )
    assert text_of(page) == stored

    # The pages are good to read in any light, and on a telephone.
    good_to_read(page)
    page.goto(f"{site.url}/stories/")
    good_to_read(page)


def good_to_read(page: Page) -> None:
    schemes: list[Literal["light", "dark"]] = ["light", "dark"]
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 340, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 340
