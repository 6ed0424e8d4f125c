"""What comes first on the page of a run, and how one gets from there to the rest."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from django_workflows import (
    create_hook,
    resume_hook,
    sleep,
    start,
    start_child,
    step,
    workflow,
)
from django_workflows.admin.addresses import hook_url, run_url
from django_workflows.admin.run_page.sentences import linked
from django_workflows.admin.steering import EFFECTS
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.pages import read, text_of
from tests.admin.panels import links, panel

pytestmark = pytest.mark.django_db

_IDS = (("wrun", 1), ("hook", 1), ("hook", 2))


@step(name="layout.say", max_retries=0)
def say(text: str) -> str:
    if not text:
        raise ValueError("nothing to say")
    return text


@workflow(name="layout.asking")
async def asking() -> None:
    with create_hook(token="first question") as first:
        await first
    with create_hook(token="second question") as second:
        await second


@workflow(name="layout.saying")
async def saying(text: str) -> str:
    await sleep("1m")
    return await say(text)


@workflow(name="layout.having_said")
async def having_said() -> None:
    await start_child(saying, "hello")


def sections(client: Client, run: Run) -> list[str]:
    """The names of the panels, from top to bottom."""
    html = client.get(run_url(run)).content.decode()
    return re.findall(r'<section id="(\w+)"', html)


def test_hooks_that_wait_stand_above_the_timeline_and_others_below(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(asking)
    workflows.run_until_idle()
    resume_hook("first question", None)
    workflows.run_until_idle()
    names = sections(admin_client, run)
    assert names.index("hooks") < names.index("timeline") < names.index("past_hooks")
    assert "second" not in panel(admin_client, run, "past_hooks")
    assert "1 hook that takes nothing" in text_of(
        panel(admin_client, run, "past_hooks")
    )
    resume_hook("second question", None)
    workflows.run_until_idle()
    names = sections(admin_client, run)
    assert "hooks" not in names
    assert names.index("timeline") < names.index("past_hooks")


def test_why_a_run_failed_comes_right_after_how_it_stands(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(saying, "")
    workflows.advance("1h")
    assert sections(admin_client, run)[:3] == ["summary", "cause", "timeline"]


def test_the_page_begins_with_links_to_its_parts(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(saying, "")
    workflows.advance("1h")
    html = admin_client.get(run_url(run)).content.decode()
    nav = re.search(r'<nav id="panels".*?</nav>', html, re.DOTALL)
    assert nav is not None
    found = links(nav[0])
    assert (
        list(found.values()) == [f"#{name}" for name in sections(admin_client, run)][1:]
    )
    for title, url in found.items():
        heading = rf'<h2 id="title-of-{url[1:]}">{title}</h2>'
        assert len(re.findall(heading, html)) == 1


def test_the_first_line_says_since_when_it_stands_so(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    workflows.run_until_idle()
    run = saying.options(delay="1h").start("hello")
    assert "Summary pending created 0 ms ago" in read(admin_client, run_url(run))
    workflows.advance("1h")
    workflows.advance("30s")
    assert "Summary waiting for 30 s" in read(admin_client, run_url(run))
    workflows.advance("30s")
    workflows.advance("2d")
    said = "Summary completed 2 d ago, after 1 min"
    assert said in read(admin_client, run_url(run))
    other = saying.options(delay="1h").start("hello")
    other.cancel()
    assert "Summary cancelled 0 ms ago" in read(admin_client, run_url(other))


def test_what_ends_a_run_is_the_last_of_its_buttons(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(saying, "hello")
    workflows.run_until_idle()
    html = panel(admin_client, run, "summary")
    buttons = re.findall(r"<button [^>]*>(.*?)</button>", html)
    assert buttons == ["Wake", "Pause", "Replay", "Cancel", "Terminate"]
    assert re.findall(r'<button [^>]*dw-danger[^>]*title="([^"]*)"', html) == [
        str(EFFECTS[verb]) for verb in ("cancel", "terminate")
    ]


def test_what_a_run_waits_for_is_a_link(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(having_said)
    asked = start(asking)
    workflows.run_until_idle()
    [child] = run.children.all()
    assert links(panel(admin_client, run, "summary"))[child.pk] == run_url(child)
    [hook] = asked.hooks.all()
    summary = panel(admin_client, asked, "summary")
    assert links(summary)[hook.pk] == f"#{hook.pk}-hook"
    assert f'id="{hook.pk}-hook"' in panel(admin_client, asked, "hooks")


def test_only_ids_become_links() -> None:
    run_id, hook, other = (f"{kind}_{'0' * 25}{end}" for kind, end in _IDS)
    url = run_url(run_id)
    text = f"<b> {run_id}, wrun_1, {run_id}0 & {hook} {other}"
    assert linked(text, [hook]) == (
        f'&lt;b&gt; <a href="{url}">{run_id}</a>, wrun_1, {run_id}0 &amp; '
        f'<a href="#{hook}-hook">{hook}</a> {other}'
    )


def test_red_is_for_what_went_wrong(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    failed, stopped = start(saying, ""), start(asking)
    workflows.run_until_idle()
    stopped.terminate("a mistake")
    workflows.advance("1h")
    assert "dw-problem" in panel(admin_client, failed, "cause")
    assert "dw-problem" not in panel(admin_client, stopped, "cause")


def test_why_it_failed_leads_to_the_step_and_says_what_to_do(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run, late = start(saying, ""), saying.options(timeout="1s").start("too late")
    workflows.advance("1h")
    html = panel(admin_client, run, "cause")
    assert "“Retry” goes on from what failed" in text_of(html)
    url = links(html)["In step layout.say:"]
    page = admin_client.get(url).content.decode()
    [step_id] = re.findall(r'<details id="step-details-(\w+)" open>', page)
    assert url.endswith(f"#step-{step_id}")
    assert f'<li id="step-{step_id}">' in page
    assert "“Retry” goes on" in text_of(panel(admin_client, late, "cause"))


def test_wherever_a_run_is_named_its_badge_is_the_same(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run, parent = start(asking), start(having_said)
    workflows.run_until_idle()
    [hook] = run.hooks.all()
    badge = '<span class="dw-status dw-status-waiting">waiting</span>'
    for url in (run_url(run), run_url(run, "cancel"), hook_url(hook)):
        assert admin_client.get(url).content.decode().count(badge) >= 1, url
    assert badge in panel(admin_client, parent, "family")
