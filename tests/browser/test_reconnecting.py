"""`<workflow-stream>` when connections break: nothing is lost and nothing repeated."""

from __future__ import annotations

from functools import partial

from playwright.sync_api import Page, expect

from tests.browser.contexts import stop_clock
from tests.browser.scripted import CLOSED, Message, ScriptedServer, chunk
from tests.browser.test_stream import LISTEN, closed, text_of

FAILURES = 50
HEARTBEAT = '{"type":"heartbeat"}'
#: Keeps all messages, which the element reads as soon as it has taken note of them.
LISTEN_TO_ALL = """
window.messages = [];
const parse = JSON.parse;
JSON.parse = (text) => { messages.push(text); return parse(text); };
"""


def starts(server: ScriptedServer) -> list[str]:
    return [query["start"] for query in server.queries]


def words(first: int, *said: str) -> list[Message | None]:
    return [chunk(index, word) for index, word in enumerate(said, first)]


def test_lost_connection_goes_on_behind_the_last_chunk(
    page: Page, server: ScriptedServer
) -> None:
    server.script = [
        words(0, "a", "b"),
        [],
        # One more than was asked for: what came before is not shown again.
        words(1, "b", "c"),
        [*words(3, "d"), CLOSED],
    ]
    server.show(server.element(), script=LISTEN)
    closed(page)
    assert text_of(page) == "abcd"
    assert starts(server) == ["0", "2", "2", "3"]
    heard = page.evaluate("heard")
    assert [detail["index"] for name, detail in heard if name == "chunk"] == [
        0,
        1,
        2,
        3,
    ]
    errors = [detail for name, detail in heard if name == "error"]
    assert len(errors) == 3
    assert all(0 < error["retryIn"] <= 500 for error in errors)


def test_gap_is_asked_for_again(page: Page, server: ScriptedServer) -> None:
    server.script = [words(0, "a") + words(2, "c"), [*words(1, "b", "c"), CLOSED]]
    server.show(server.element())
    closed(page)
    assert text_of(page) == "abc"
    assert starts(server) == ["0", "1"]


def test_start_from_the_end_is_kept_until_it_is_known(
    page: Page, server: ScriptedServer
) -> None:
    server.script = [[], words(7, "h"), [*words(8, "i"), CLOSED]]
    server.show(server.element(start="-1"))
    closed(page)
    assert text_of(page) == "hi"
    assert starts(server) == ["-1", "-1", "8"]


def test_page_sees_a_lost_connection(page: Page, websockets: ScriptedServer) -> None:
    websockets.script = [[chunk(0, "one"), None]]
    websockets.show(websockets.element(), script=LISTEN)
    element = page.locator("workflow-stream")
    expect(element).to_have_attribute("state", "open")
    websockets.sockets[0].close(code=1001)
    expect(element).to_have_attribute("state", "reconnecting")
    expect(element.get_by_role("status")).to_have_text("Connection lost. Trying again…")
    assert text_of(page) == "one"


def test_network_that_is_back_is_used_at_once(
    page: Page, websockets: ScriptedServer
) -> None:
    """A connection may have died with the network without anyone having noticed."""
    websockets.script = [[chunk(0, "one "), None], [chunk(1, "two"), CLOSED]]
    websockets.show(websockets.element())
    expect(page.locator("workflow-stream")).to_have_text("one")
    page.evaluate("window.dispatchEvent(new Event('online'))")
    closed(page)
    assert text_of(page) == "one two"


def test_silent_connection_is_given_up(page: Page, websockets: ScriptedServer) -> None:
    stop_clock(page)
    websockets.script = [[chunk(0, "one "), None], [chunk(1, "two"), CLOSED]]
    websockets.show(websockets.element(), script=LISTEN_TO_ALL)
    element = page.locator("workflow-stream")
    expect(element).to_have_text("one")
    page.clock.run_for(45_000)
    websockets.sockets[0].send(HEARTBEAT)
    websockets.until(lambda: HEARTBEAT in page.evaluate("messages"))
    page.clock.run_for(45_000)
    expect(element).to_have_attribute("state", "open")
    page.clock.run_for(20_000)
    closed(page)
    assert text_of(page) == "one two"


def told_of_failures(page: Page, number: int) -> bool:
    heard = [name for name, _ in page.evaluate("heard")]
    return heard.count("error") == number


def test_trying_ends_after_many_failures_in_a_row(
    page: Page, websockets: ScriptedServer
) -> None:
    stop_clock(page)
    websockets.show(websockets.element(), script=LISTEN)
    for failures in range(1, FAILURES + 2):
        websockets.until(partial(told_of_failures, page, failures))
        page.clock.fast_forward(30_000)
    element = page.locator("workflow-stream")
    expect(element).to_have_attribute("state", "failed")
    expect(element.get_by_role("status")).to_have_text("No connection.")
    errors = [detail for name, detail in page.evaluate("heard") if name == "error"]
    waits = [error["retryIn"] for error in errors]
    assert waits.pop() is None
    assert all(15_000 <= wait <= 30_000 for wait in waits[7:])
    # Whoever is there to see it can try again.
    websockets.script = [[]] * (FAILURES + 1) + [[chunk(0, "one"), CLOSED]]
    element.evaluate("element => element.connect()")
    closed(page)
    assert text_of(page) == "one"
