"""What the script of live pages does to a page, and leaves to who looks at it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.admin.scripted import ScriptedPage


@pytest.fixture
def live(page: Page) -> ScriptedPage:
    return ScriptedPage(page)


def test_parts_change_come_and_go(live: ScriptedPage) -> None:
    live.show("<p id=a data-live>1</p><p>still</p><p id=b data-live>1</p>")
    live.become(
        '<p id=a data-live class="new">2</p><p>other</p><p id=c data-live>new</p>'
        "<div id=d data-live>also</div>"
    )
    main = live.page.locator("main")
    assert main.evaluate("e => [...e.children].map(c => c.outerHTML)") == [
        '<p id="a" data-live="" class="new">2</p>',
        '<p id="c" data-live="">new</p>',
        '<div id="d" data-live="">also</div>',
        "<p>still</p>",
    ]


def test_what_stays_keeps_focus_selection_and_what_is_unfolded(
    live: ScriptedPage,
) -> None:
    def body(count: int) -> str:
        rows = "".join(f"<li id=row-{row}>Row {row}</li>" for row in range(count))
        return (
            f"<section id=s data-live><p>{count} rows</p>"
            f"<details><summary>More</summary>of {count}</details>"
            f"<ol>{rows}</ol><a id=next href=#>Next</a></section>"
        )

    live.show(body(2))
    page = live.page
    page.get_by_text("More").click()
    page.locator("#row-1").select_text()
    page.get_by_role("link", name="Next").focus()
    live.become(body(3))
    expect(page.get_by_text("of 3")).to_be_visible()
    expect(page.get_by_role("link", name="Next")).to_be_focused()
    assert page.evaluate("getSelection().toString()") == "Row 1"
    live.become(body(1))
    assert page.locator("li").all_inner_texts() == ["Row 0"]


def test_elements_that_are_live_by_themselves_are_left_alone(
    live: ScriptedPage,
) -> None:
    live.show("<section id=s data-live><p>1</p><own-stream></own-stream></section>")
    stream = live.page.locator("own-stream")
    stream.evaluate("e => { e.append('a chunk'); e.setAttribute('state', 'open'); }")
    live.become("<section id=s data-live><p>2</p><own-stream></own-stream></section>")
    expect(live.page.locator("#s p")).to_have_text("2")
    expect(stream).to_have_text("a chunk")
    expect(stream).to_have_attribute("state", "open")
    live.become("<section id=s data-live><p>3</p></section>")
    expect(stream).to_have_count(0)


@pytest.mark.parametrize(
    ("field", "fill_in"),
    [
        ("<input name=f>", "e => e.value = 'typed'"),
        ("<textarea name=f></textarea>", "e => e.value = 'typed'"),
        ("<input name=f type=checkbox>", "e => e.checked = true"),
        ("<select name=f><option>a<option>b</select>", "e => e.value = 'b'"),
        ("<input name=f>", "e => e.focus()"),
    ],
)
def test_a_part_that_is_filled_in_is_left_alone(
    live: ScriptedPage, field: str, fill_in: str
) -> None:
    def body(number: int) -> str:
        return (
            f"<section id=s data-live><p id=n>{number}</p>"
            f"<input type=hidden name=token value={number}><form>{field}</form>"
            "</section>"
        )

    live.show(body(1))
    page = live.page
    live.become(body(2))
    expect(page.locator("#n")).to_have_text("2")
    page.locator("[name=f]").evaluate(fill_in)
    live.become(body(3))
    expect(page.locator("#n")).to_have_text("2")
    page.locator("form").evaluate("form => { form.reset(); form.f.blur() }")
    live.become(body(4))
    expect(page.locator("#n")).to_have_text("4")
    expect(page.locator("[name=token]")).to_have_value("4")


def test_nothing_is_fetched_once_a_form_is_sent(live: ScriptedPage) -> None:
    """The page that comes next shows what was done, in messages shown only once."""
    live.show("<form action='javascript:void 0'><button>Cancel</button></form>")
    live.page.get_by_role("button").click()
    live.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    live.page.clock.run_for(60_000)
    assert live.asked == 1


def test_a_hidden_tab_fetches_nothing(live: ScriptedPage) -> None:
    live.show("<p>Hello</p>")
    live.page.evaluate(
        "Object.defineProperty(document, 'visibilityState',"
        " { value: 'hidden', configurable: true })"
    )
    live.page.clock.run_for(60_000)
    assert live.asked == 1
    live.page.evaluate("delete document.visibilityState")
    live.become("<p>Hello again</p>")
