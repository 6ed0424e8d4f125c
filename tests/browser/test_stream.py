"""`<workflow-stream>`: what it shows, and what it tells its page."""

from __future__ import annotations

import base64

import pytest
from playwright.sync_api import Page, expect

from tests.browser.contexts import stop_clock
from tests.browser.scripted import CLOSED, Message, ScriptedServer, chunk, status

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>alert(1)</script>&amp;"

#: Keeps what the element tells its page.
LISTEN = """
const element = document.querySelector("workflow-stream");
window.heard = [];
for (const name of ["open", "chunk", "status", "closed", "error"]) {
  element.addEventListener(name, (event) => heard.push([name, event.detail]));
}
"""


def text_of(page: Page) -> str:
    return page.locator("workflow-stream").text_content() or ""


def closed(page: Page) -> None:
    expect(page.locator("workflow-stream")).to_have_attribute("state", "closed")


# --- chunks ---------------------------------------------------------------------------


def test_words_are_appended_until_the_stream_closes(
    page: Page, server: ScriptedServer
) -> None:
    server.script = [
        [
            status("running"),
            chunk(0, "Once "),
            chunk(1, "upon\n"),
            chunk(2, "a"),
            CLOSED,
        ]
    ]
    server.show(server.element(namespace="tale & co"), script=LISTEN)
    closed(page)
    assert text_of(page) == "Once upon\na"
    assert server.queries == [{"namespace": "tale & co", "start": "0"}]
    heard = page.evaluate("heard")
    assert [name for name, _ in heard] == ["open", "status", *["chunk"] * 3, "closed"]
    assert heard[2][1] == {"index": 0, "data": "Once ", "attempt": 1}
    expect(page.locator("workflow-stream")).to_have_attribute("status", "running")


def test_hostile_text_is_text(page: Page, websockets: ScriptedServer) -> None:
    websockets.script = [[chunk(0, HOSTILE), CLOSED], [chunk(0, HOSTILE), CLOSED]]
    websockets.show(websockets.element())
    closed(page)
    assert text_of(page) == HOSTILE
    page.locator("workflow-stream").evaluate("e => e.setAttribute('format', 'json')")
    websockets.until(lambda: len(websockets.queries) == 2)
    closed(page)
    assert page.locator("workflow-stream :is(img, script)").count() == 0
    assert page.title() == "Page"


def test_json_shows_one_value_per_line(page: Page, websockets: ScriptedServer) -> None:
    values = ["text", {"a": [1, None]}, 0, "", False]
    messages = [chunk(index, value) for index, value in enumerate(values)]
    websockets.script = [[*messages, CLOSED]]
    websockets.show(websockets.element(format="json"))
    closed(page)
    lines = page.locator("[data-attempt] div").all_text_contents()
    assert lines == ['"text"', '{"a":[1,null]}', "0", '""', "false"]


def test_values_among_text_are_json(page: Page, websockets: ScriptedServer) -> None:
    websockets.script = [[chunk(0, "n="), chunk(1, 5), chunk(2, None), CLOSED]]
    websockets.show(websockets.element())
    closed(page)
    assert text_of(page) == "n=5null"


def test_bytes_are_text_where_they_are_utf_8(
    page: Page, websockets: ScriptedServer
) -> None:
    euro = "5 €!".encode()
    pieces = [euro[:3], euro[3:4], euro[4:], b"\xff\x00"]
    encoded = [base64.b64encode(piece).decode() for piece in pieces]
    messages = [chunk(i, text, encoding="base64") for i, text in enumerate(encoded)]
    websockets.script = [[*messages, CLOSED]]
    websockets.show(websockets.element())
    closed(page)
    assert text_of(page) == "5 €!" + encoded[-1]


def test_character_that_is_never_finished_is_seen(
    page: Page, websockets: ScriptedServer
) -> None:
    def piece(index: int, data: bytes, attempt: int = 1) -> Message:
        encoded = base64.b64encode(data).decode()
        return chunk(index, encoded, attempt, encoding="base64")

    begun = b"\xe2\x82"  # of a euro sign
    websockets.script = [
        [
            piece(0, b"a" + begun),
            piece(1, b"b" + begun, attempt=2),
            chunk(2, "c", 2),
            piece(3, begun, 2),
            piece(4, b"\xff", 2),
            piece(5, b"d" + begun, 2),
            CLOSED,
        ]
    ]
    websockets.show(websockets.element())
    closed(page)
    assert text_of(page) == "a\ufffdb\ufffdc\ufffd/w==d\ufffd"
    expect(page.locator("[data-attempt='1']")).to_have_text("a\ufffd")


def test_long_streams_stay_whole(page: Page, websockets: ScriptedServer) -> None:
    words = [f"word{index} " * 40 for index in range(200)]
    messages = [chunk(index, word) for index, word in enumerate(words)]
    websockets.script = [[*messages, CLOSED]]
    websockets.show(websockets.element())
    closed(page)
    assert text_of(page) == "".join(words)


def test_attempts_are_told_apart(page: Page, websockets: ScriptedServer) -> None:
    messages = [chunk(0, "a"), chunk(1, "b"), chunk(2, "a", 2), chunk(3, "c", 2)]
    websockets.script = [[*messages, CLOSED]]
    websockets.show(websockets.element())
    closed(page)
    expect(page.locator("[data-attempt='1']")).to_have_text("ab")
    expect(page.locator("[data-attempt='2']")).to_have_text("ac")
    expect(page.locator("workflow-stream")).to_have_attribute("attempt", "2")


def test_progress_moves_a_bar(page: Page, websockets: ScriptedServer) -> None:
    messages = [
        chunk(0, {"progress": 0}),
        chunk(1, {"progress": 0.25}),
        chunk(2, {"progress": 1.5}),
        chunk(3, {"progress": 0.5, "file": "a.csv"}),
    ]
    websockets.script = [[chunk(0, "-"), None], [*messages, CLOSED]]
    websockets.show(websockets.element())
    expect(page.locator("workflow-stream")).to_have_text("-")
    bar = page.get_by_role("progressbar", name="Progress")
    expect(bar).to_have_count(0)
    page.locator("workflow-stream").evaluate("element => element.restart()")
    closed(page)
    expect(bar).to_be_visible()
    assert bar.evaluate("bar => bar.value") == 0.5
    assert text_of(page) == '{"progress":1.5}{"progress":0.5,"file":"a.csv"}'


# --- what pages do with it ------------------------------------------------------------

RENDERER = """
const element = document.querySelector("workflow-stream");
element.renderer = (chunk, self) => {
  if (self !== element) throw new Error("not the element");
  if (chunk.data === "nothing") return null;
  if (chunk.data.startsWith("<")) return chunk.data;
  const item = document.createElement("li");
  item.textContent = `${chunk.index}: ${chunk.data}`;
  return item;
};
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_renderer_decides_what_is_shown(
    page: Page, websockets: ScriptedServer, when: str
) -> None:
    values = enumerate(["one", "nothing", "<b>"])
    told: list[Message | None] = [chunk(index, value) for index, value in values]
    told.append(CLOSED)
    if when == "before":  # before the element knows what it is
        websockets.script = [told]
        websockets.show(websockets.element(), script=RENDERER)
    else:  # when the first chunks are shown already
        websockets.script = [[chunk(0, "one"), None], told]
        websockets.show(websockets.element())
        expect(page.locator("workflow-stream")).to_have_text("one")
        page.evaluate(f"() => {{ {RENDERER} }}")
    closed(page)
    assert page.locator("workflow-stream li").all_text_contents() == ["0: one"]
    assert text_of(page) == "0: one<b>"


def test_renderer_that_fails_costs_its_chunk_only(
    page: Page, websockets: ScriptedServer
) -> None:
    words = [chunk(0, "one "), chunk(1, "two "), chunk(2, "three")]
    websockets.script = [[*words, CLOSED]]
    script = """
    window.reported = [];
    window.addEventListener("error", (event) => {
      reported.push(event.message);
      event.preventDefault();
    });
    document.querySelector("workflow-stream").renderer = (chunk) => {
      if (chunk.index === 1) throw new Error("no idea how");
      return chunk.data;
    };
    """
    websockets.show(websockets.element(), script=script)
    closed(page)
    assert text_of(page) == "one three"
    assert page.evaluate("reported") == ["Uncaught Error: no idea how"]


def test_events_without_their_address_are_refused(
    page: Page, websockets: ScriptedServer
) -> None:
    websockets.show("")
    message = page.evaluate(
        """() => {
            const element = document.createElement("workflow-stream");
            element.setAttribute("run", "wrun_1");
            element.setAttribute("transport", "sse");
            try { element.connect(); } catch (error) { return error.message; }
        }"""
    )
    assert message == 'transport="sse" needs the attribute sse-url'


def test_element_that_leaves_the_page_hangs_up(
    page: Page, websockets: ScriptedServer
) -> None:
    ended: list[int | None] = []
    websockets.script = [[chunk(0, "one "), None], [chunk(1, "two"), CLOSED]]
    websockets.show(websockets.element())
    element = page.locator("workflow-stream")
    expect(element).to_have_text("one")
    websockets.sockets[0].on_close(lambda code, reason: ended.append(code))
    page.evaluate("kept = document.querySelector('workflow-stream'), kept.remove()")
    websockets.until(lambda: ended)
    page.evaluate("document.querySelector('main').append(kept)")
    closed(page)
    # It goes on where it was.
    assert websockets.queries[1]["start"] == "1"
    assert text_of(page) == "one two"


def test_page_can_hang_up_and_go_on(page: Page, websockets: ScriptedServer) -> None:
    websockets.script = [[chunk(0, "one "), None], [chunk(1, "two"), CLOSED]]
    websockets.show(websockets.element())
    element = page.locator("workflow-stream")
    expect(element).to_have_text("one")
    element.evaluate("element => element.disconnect()")
    expect(element).to_have_attribute("state", "disconnected")
    element.evaluate("element => element.connect()")
    closed(page)
    assert text_of(page) == "one two"


def test_changed_attributes_begin_again_once(
    page: Page, websockets: ScriptedServer
) -> None:
    websockets.script = [[chunk(0, "one"), None], [chunk(2, "three"), CLOSED]]
    websockets.show(websockets.element())
    expect(page.locator("workflow-stream")).to_have_text("one")
    page.locator("workflow-stream").evaluate(
        "e => { e.setAttribute('namespace', 'log'); e.setAttribute('start', '2'); }"
    )
    closed(page)
    assert text_of(page) == "three"
    assert websockets.queries[1:] == [{"namespace": "log", "start": "2"}]


def test_copy_of_an_element_shows_nothing_twice(
    page: Page, websockets: ScriptedServer
) -> None:
    websockets.script = [[chunk(0, "one"), CLOSED]] * 2
    websockets.show(websockets.element())
    closed(page)
    page.evaluate(
        "const old = document.querySelector('workflow-stream');"
        "old.replaceWith(old.cloneNode(true))"
    )
    websockets.until(lambda: len(websockets.queries) == 2)
    closed(page)
    assert text_of(page) == "one"


def test_assistive_technology_is_told_when_to_listen(
    page: Page, websockets: ScriptedServer
) -> None:
    stop_clock(page)
    websockets.script = [[chunk(0, "one"), None]]
    script = """
    window.busy = [];
    const element = document.querySelector("workflow-stream");
    new MutationObserver(() => busy.push(element.ariaBusy)).observe(
      element, { attributeFilter: ["aria-busy"] },
    );
    """
    websockets.show(
        websockets.element() + websockets.element(role="none"), script=script
    )
    log = page.get_by_role("log")
    expect(log).to_have_count(1)
    expect(log).to_have_attribute("aria-live", "polite")
    expect(log).to_have_text("one")
    assert page.evaluate("busy") == ["true"]
    # It may speak in a pause, and then in the next one.
    page.clock.run_for(1_000)
    assert page.evaluate("busy") == ["true", "false"]
    websockets.sockets[0].send('{"type":"chunk","index":1,"data":"!","attempt":1}')
    expect(log).to_have_text("one!")
    assert page.evaluate("busy") == ["true", "false", "true"]
    page.clock.run_for(1_000)
    assert page.evaluate("busy") == ["true", "false", "true", "false"]
