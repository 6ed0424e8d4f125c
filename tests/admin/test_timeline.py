"""The timeline in the page of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils.translation import override

from django_workflows import get_run, resume_hook, start
from django_workflows.admin.addresses import run_url
from django_workflows.admin.run_page.waterfall import Clock, segments_of
from django_workflows.models import Run
from django_workflows.store.operations import Attempt, Operation
from django_workflows.store.timeline import read_timeline, timeline
from django_workflows.testing import WorkflowTester
from tests.admin.pages import client_of, queries_of, text_of, user_with
from tests.admin.panels import doubling, links, panel, resting, two_steps

pytestmark = pytest.mark.django_db


@dataclass
class Row:
    """A row of the timeline, as it is read and drawn."""

    text: str
    #: Place, width and look of its bars.
    bars: list[tuple[float, float, str]]
    titles: list[str]
    url: str
    zoom: str
    words: str


def rows(html: str) -> list[Row]:
    body = html[html.index("<tbody") : html.index("</tbody>")]
    found = []
    for row in body.split('<tr role="row"')[1:]:
        bars = re.findall(
            r'class="dw-bar dw-bar-(\w+)" x="([\d.]+)%" y="\d+" width="([\d.]+)%"', row
        )
        words = re.search(r'aria-label="([^"]*)"', row)
        urls = [unescape(url) for url in re.findall(r'href="([^#"][^"]*)"', row)]
        found.append(
            Row(
                text_of("<tr" + re.sub(r"<title>.*?</title>", "", row)),
                [(float(x), float(width), look) for look, x, width in bars],
                [unescape(title) for title in re.findall("<title>(.*?)</title>", row)],
                urls[0] if urls else "",
                urls[-1] if urls else "",
                unescape(words[1]) if words else "",
            )
        )
    return found


def test_each_operation_has_a_row_to_scale(admin_client: Client, shopping: Run) -> None:
    drawn = rows(panel(admin_client, shopping, "timeline"))
    texts = [row.text for row in drawn]
    assert texts == [
        "Run panels.shop",
        "Step panels.flaky 3 attempts completed 0 15 s",
        "Child panels.resting completed 0 8.0 s",
        "Timer sleep 7.0 s completed 0 7.0 s",
        "Step panels.double completed 0 0 ms",
        "Step panels.double completed 0 0 ms",
        "Step panels.refused 2 attempts failed 15.0 s 2.0 s",
        f"Hook …{timeline(shopping)[-1].id[-6:]} waiting 17.0 s 3.0 s",
    ]
    by_text = dict(zip(texts, drawn, strict=True))
    assert by_text[texts[0]].bars == [(0, 100, "running")]
    assert by_text[texts[2]].bars == [(0, 40, "completed")]
    assert by_text[texts[3]].bars == [(0, 35, "timer")]
    assert by_text[texts[7]].bars == [(85, 15, "hook")]


def test_attempts_and_the_delays_between_them_are_told_apart(
    admin_client: Client, shopping: Run
) -> None:
    flaky = rows(panel(admin_client, shopping, "timeline"))[1]
    delays = [(x, width) for x, width, look in flaky.bars if look == "delay"]
    attempts = [(x, look) for x, _, look in flaky.bars if look != "delay"]
    assert delays == [(0, 25), (25, 50)]
    assert attempts == [(0, "failed"), (25, "failed"), (75, "completed")]
    words = [
        "attempt 1: failed, tried again, 0 ms",
        "delay before the next attempt, 5.0 s",
        "attempt 2: failed, tried again, 0 ms",
        "delay before the next attempt, 10 s",
        "attempt 3: completed, 0 ms",
    ]
    assert sorted(flaky.titles) == sorted(words)
    assert flaky.words == f"Zoom to: {'; '.join(words)}"


def test_what_waits_for_a_worker_is_in_the_queue() -> None:
    origin = datetime(2026, 11, 20, tzinfo=UTC)

    def after(seconds: float) -> datetime:
        return origin + timedelta(seconds=seconds)

    def drawn(operation: Operation) -> list[tuple[float, float, str]]:
        segments = segments_of(operation, Clock(origin, after(60)))
        return [(each.begin, each.end, each.look) for each in segments]

    far = Operation("step", "step_1", "far", 3, after(10))
    assert drawn(far) == [(10, 60, "queued")]
    far.attempts.append(Attempt(1, after(14)))
    assert drawn(far) == [(10, 14, "queued"), (14, 60, "running")]
    far.attempts[0].finished_at, far.attempts[0].outcome = after(20), "error"
    far.attempts[0].retry_at = after(30)
    assert drawn(far)[2:] == [(20, 30, "delay"), (30, 60, "queued")]
    far.attempts.append(Attempt(2, after(35), after(40), "completed"))
    far.status, far.finished_at = "completed", after(40)
    assert drawn(far)[2:] == [
        (20, 30, "delay"),
        (30, 35, "queued"),
        (35, 40, "completed"),
    ]
    taken_back = Operation(
        "step", "step_2", "far", 3, after(10), "cancelled", after(12)
    )
    assert drawn(taken_back) == [(10, 12, "queued")]


def test_what_is_open_grows_until_now_and_ends_with_its_run(
    admin_client: Client, workflows: WorkflowTester, shopping: Run
) -> None:
    workflows.advance("17s")
    row = rows(panel(admin_client, shopping, "timeline"))[-1]
    assert row.titles == ["hook, waiting, 0 received, 20 s"]
    resume_hook("very-secret-token", "yes")
    row = rows(panel(admin_client, shopping, "timeline"))[-1]
    assert row.titles == ["hook, waiting, 1 received, 20 s"]
    shopping.terminate()
    workflows.advance("1h")
    drawn = rows(panel(admin_client, shopping, "timeline"))
    assert drawn[-1].titles == ["hook, cancelled, 1 received, 20 s"]
    assert drawn[0].bars == [(0, 100, "terminated")]


def test_rows_lead_to_more(admin_client: Client, shopping: Run) -> None:
    drawn = rows(panel(admin_client, shopping, "timeline"))
    step, child, timer = timeline(shopping)[:3]
    assert drawn[1].url.endswith(f"?step={step.id}#step-{step.id}")
    assert drawn[2].url == run_url(Run.objects.get(pk=child.run_id))
    assert drawn[3].url.endswith(f"?of={timer.id}#events")


def _moved(client: Client, run: Run, **query: Any) -> dict[str, str]:
    return links(panel(client, run, "timeline", **query))


def test_a_row_can_be_zoomed_to(admin_client: Client, shopping: Run) -> None:
    refused = rows(panel(admin_client, shopping, "timeline"))[6]
    page = admin_client.get(refused.zoom.partition("#")[0]).content.decode()
    html = page[page.index('<section id="timeline"') :]
    assert "From " in html
    assert "2.4 s long. 3 of 7 rows lie in this part." in text_of(html)
    drawn = rows(html)
    assert [row.text.split()[1] for row in drawn[1:]] == [
        "panels.flaky",
        "panels.refused",
        drawn[3].text.split()[1],
    ]
    x, width, look = next(bar for bar in drawn[2].bars if bar[2] == "delay")
    assert (round(x, 1), width, look) == (8.3, 83.333, "delay")


def test_parts_can_be_moved_through(admin_client: Client, shopping: Run) -> None:
    path = run_url(shopping)
    whole = _moved(admin_client, shopping)
    assert whole["Zoom in"] == f"{path}?from=5&to=15#timeline"
    assert not {"Whole run", "Zoom out", "Earlier", "Later"} & set(whole)
    part = {"from": "8", "to": "12"}
    moved = _moved(admin_client, shopping, **part, step="s", row="0")
    assert moved["Whole run"] == f"{path}?step=s#timeline"
    assert moved["Zoom in"] == f"{path}?step=s&from=9&to=11#timeline"
    assert moved["Zoom out"] == f"{path}?step=s&from=6&to=14#timeline"
    assert moved["Earlier"] == f"{path}?step=s&from=6&to=10#timeline"
    assert moved["Later"] == f"{path}?step=s&from=10&to=14#timeline"


@pytest.mark.parametrize("nonsense", ["x", "nan", "-1e400", '"><script>'])
def test_a_part_that_is_none_is_the_whole(
    admin_client: Client, shopping: Run, nonsense: str
) -> None:
    html = panel(admin_client, shopping, "timeline", **{"from": nonsense, "to": "5"})
    assert "20 s long." in text_of(html)
    assert "<script>" not in html
    html = panel(admin_client, shopping, "timeline", row=nonsense)
    assert len(rows(html)) == 8


def test_many_rows_come_in_pages_by_as_many_queries_as_few(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    few, many = start(doubling, 2), start(doubling, 230)
    workflows.run_until_idle()
    workflows.advance("10s")
    assert not re.search("dw-tl-overview", panel(admin_client, few, "timeline"))
    html = panel(admin_client, many, "timeline")
    assert len(rows(html)) == 101
    assert "1 to 100 of 231" in text_of(html)
    assert html.count("dw-tl-crowd") == 60
    html = panel(admin_client, many, "timeline", row="200")
    assert len(rows(html)) == 32
    assert "Timer sleep 1 d waiting" in rows(html)[-1].text
    assert links(html)["Previous"].endswith("?row=100#timeline")
    urls = [run_url(few), run_url(many), f"{run_url(many)}?row=200&from=0&to=3"]
    assert len({queries_of(admin_client, url) for url in urls}) == 1


def test_what_a_retry_has_undone_is_left_out(
    admin_client: Client, workflows: WorkflowTester, broken: set[str]
) -> None:
    broken.add("second")
    run = start(two_steps)
    workflows.run_until_idle()
    workflows.advance("1m")
    broken.clear()
    get_run(run.pk).retry()
    workflows.run_until_idle()
    run = get_run(run.pk)
    html = panel(admin_client, run, "timeline")
    first, second = rows(html)[1:]
    assert first.titles == ["attempt 1: completed, 0 ms"]
    assert "2 attempts completed 0 1 min" in second.text
    assert second.titles == ["attempt 1: failed, 0 ms", "attempt 2: completed, 0 ms"]
    assert [x for x, _, _ in second.bars] == [0, 99.5]
    assert "was retried in place" in text_of(html)
    assert "Retried: " in "".join(rows(html)[0].titles)
    (mark,) = read_timeline(run).marks
    assert (mark.type, mark.cut is not None) == ("run_retried", True)


def test_a_fork_shows_what_it_has_taken_over(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(two_steps)
    workflows.run_until_idle()
    workflows.advance("1h")
    new = get_run(run.pk).fork(timeline(run)[1].id)
    workflows.run_until_idle()
    run_row, first, second = rows(panel(admin_client, get_run(new.pk), "timeline"))
    assert "Forked from another run" in run_row.titles[-1]
    assert run_row.bars[0][0] > 99
    assert [x for x, _, _ in first.bars + second.bars] == [0, 99.5]


def test_pauses_are_marked(
    admin_client: Client, workflows: WorkflowTester, shopping: Run
) -> None:
    shopping.pause()
    workflows.advance("20s")
    row = rows(panel(admin_client, shopping, "timeline"))[0]
    assert [title.partition(":")[0] for title in row.titles[-1:]] == ["Paused"]
    assert re.search(r"Paused: 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.", row.text)
    assert row.bars[-1][2] == "paused"


def test_a_run_that_has_not_begun_has_no_timeline(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = resting.options(delay="1d").start("1s")
    assert panel(admin_client, run, "timeline") == ""


def test_no_payload_is_in_it(shopping: Run) -> None:
    client = client_of(user_with("view_run"))
    page = client.get(run_url(shopping)).content.decode()
    for secret in ("very-secret-token", "the boss", "no answer", "no credit", "ada"):
        assert secret not in page
    assert "panels.flaky" in page


def test_places_are_numbers_in_every_language(
    admin_client: Client, shopping: Run
) -> None:
    query = {"from": "0.5", "to": "18.25"}
    with override("de"):
        html = panel(admin_client, shopping, "timeline", **query)
    numbers = re.findall(r' (?:x|x1|x2|width)="([^"]*)"', html)
    assert len(numbers) > 40
    assert all(re.fullmatch(r"\d+(\.\d+)?%?", number) for number in numbers)


def test_the_timeline_of_the_store_has_errors_and_metadata(shopping: Run) -> None:
    by_name = {each.name or each.kind: each for each in timeline(shopping)}
    flaky, refused = by_name["panels.flaky"], by_name["panels.refused"]
    messages = [each.error and each.error["message"] for each in flaky.attempts]
    assert messages == [*["no answer for ada, password='sesame'"] * 2, None]
    assert flaky.error is None
    assert refused.error == {"type": "ValueError", "message": "no credit at all"}
    assert by_name["hook"].metadata == {"for": "the boss"}
    assert all(attempt.worker for attempt in flaky.attempts)
    assert all(
        each.error is None and each.metadata is None
        for each in read_timeline(shopping).operations
    )
