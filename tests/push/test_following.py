"""What a client is told, whatever happens between two looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from django_workflows.push import following
from django_workflows.push.following import follow
from django_workflows.push.messages import Message
from django_workflows.store.following import Sight

RUNNING = Sight("running", 2, 0, is_closed=False, has_ended=False)
COMPLETED = Sight("completed", 4, 3, is_closed=True, has_ended=True)


class Script:
    """A `Source` that shows one sight after the other.

    Pages hold two messages; of those before `unreadable` reads, none can be read.
    """

    def __init__(self, *sights: Sight | None, unreadable: int = 0) -> None:
        self._sights = list(sights)
        self._unreadable = unreadable
        self.waits: list[float] = []

    async def sight(self) -> Sight | None:
        return self._sights.pop(0)

    async def chunks(self, start: int, end: int) -> Sequence[Message]:
        return self._page("chunk", start, end)

    async def events(self, start: int, end: int) -> Sequence[Message]:
        return self._page("event", start, end)

    def _page(self, kind: str, start: int, end: int) -> Sequence[Message]:
        if self._unreadable:
            self._unreadable -= 1
            return []
        return [Message(kind, str(n)) for n in range(start, min(start + 2, end))]

    async def wait(self, timeout: float) -> None:
        self.waits.append(timeout)


async def told(source: Script, start: int = 0, **options: Any) -> list[str]:
    """What a client of `source` is told, in short."""
    return [
        {"chunk": message.text, "event": f"#{message.text}"}.get(
            message.kind, message.kind
        )
        if message.kind != "status"
        else message.text.split('"')[-2]
        async for message in follow(source, start, **options)
    ]


async def test_status_comes_first_and_last() -> None:
    source = Script(RUNNING, replace(RUNNING, length=2), COMPLETED)
    expected = ["running", "0", "1", "2", "completed", "closed"]
    assert await told(source) == expected


async def test_late_client_hears_at_once_how_the_run_stands() -> None:
    expected = ["completed", "0", "1", "2", "completed", "closed"]
    assert await told(Script(COMPLETED)) == expected
    assert await told(Script(COMPLETED), 3) == ["completed", "closed"]


async def test_log_comes_before_chunks() -> None:
    expected = ["#1", "#2", "#3", "#4", "0", "1", "2"]
    assert (await told(Script(COMPLETED), events=True))[1:-2] == expected


@pytest.mark.parametrize(
    ("start", "chunks"),
    [(1, ["1", "2"]), (-1, ["2"]), (-100, ["0", "1", "2"]), (99, [])],
)
async def test_start(start: int, chunks: list[str]) -> None:
    found = await told(Script(COMPLETED), start)
    assert [each for each in found if each.isdigit()] == chunks


async def test_start_beyond_the_end_waits_for_that_chunk() -> None:
    source = Script(RUNNING, replace(RUNNING, length=2), COMPLETED)
    assert await told(source, 2) == ["running", "2", "completed", "closed"]


async def test_stream_is_closed_after_its_last_chunk_and_once() -> None:
    closed = replace(RUNNING, length=3, is_closed=True)
    source = Script(RUNNING, closed, closed, COMPLETED)
    expected = ["running", "0", "1", "2", "closed", "completed"]
    assert await told(source) == expected


async def test_who_wants_no_chunks_is_told_of_the_run_alone() -> None:
    closed = replace(RUNNING, length=2, is_closed=True)
    expected = ["running", "#1", "#2", "#3", "#4", "completed", "closed"]
    assert await told(Script(closed, COMPLETED), chunks=False, events=True) == expected
    assert await told(Script(None), chunks=False) == ["closed"]


async def test_end_waits_until_everything_could_be_read() -> None:
    source = Script(RUNNING, COMPLETED, COMPLETED, unreadable=1)
    assert await told(source) == ["running", "0", "1", "2", "completed", "closed"]
    assert following.RETRY in source.waits


async def test_retried_run_goes_on() -> None:
    """The end came and went between two reads: it is none any more."""
    failed = replace(RUNNING, status="failed", length=1, is_closed=True, has_ended=True)
    source = Script(
        RUNNING, failed, replace(RUNNING, length=1), COMPLETED, unreadable=1
    )
    expected = ["running", "0", "1", "2", "completed", "closed"]
    assert await told(source) == expected


async def test_stream_that_is_opened_again_is_closed_again() -> None:
    closed = replace(RUNNING, is_closed=True)
    source = Script(closed, replace(RUNNING, length=1), replace(COMPLETED, length=1))
    expected = ["running", "closed", "0", "completed", "closed"]
    assert await told(source) == expected


async def test_run_that_is_deleted_ends_the_conversation() -> None:
    assert await told(Script(RUNNING, None)) == ["running", "closed"]
    assert await told(Script(None)) == ["closed"]


async def test_silence_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "HEARTBEAT_INTERVAL", 0.0)
    source = Script(RUNNING, RUNNING, replace(COMPLETED, length=0))
    expected = ["running", "heartbeat", "heartbeat", "completed", "closed"]
    assert await told(source) == expected
