"""`fetch` as a plain coroutine: what is sent, and what becomes of each answer."""

from __future__ import annotations

import gzip
import json
import socket
import sys
import threading
from typing import Any

import pytest

from django_workflows import (
    FatalError,
    FetchResponse,
    FetchStatusError,
    PayloadTooLargeError,
    fetch,
)
from tests.cluster.harness import DEADLINE
from tests.http.conftest import with_workflows
from tests.http.server import Answer, Server, serving


async def test_get(server: Server) -> None:
    server.handler = lambda asked: Answer(
        200,
        [("Content-Type", "application/json"), ("Set-Cookie", "a=1")] * 2,
        b'{"id": 7}',
    )
    response = await fetch(server.url("/posts/7?full=yes#top"))
    assert (response.status, response.ok, response.body) == (200, True, b'{"id": 7}')
    assert response.json() == {"id": 7}
    assert response.headers.getlist("set-cookie") == ["a=1", "a=1"]
    assert response.url == server.url("/posts/7?full=yes#top")
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("GET", "/posts/7?full=yes", b"")
    assert asked.headers["Host"] == f"127.0.0.1:{server.port}"


async def test_json_is_sent(server: Server) -> None:
    await fetch(server.url(), "post", json={"ü": [1, None]})
    await fetch(server.url(), "PUT", {"Content-Type": "application/x+json"}, json=[])
    posted, put = server.asked
    assert json.loads(posted.body) == {"ü": [1, None]}
    assert posted.headers["Content-Type"] == "application/json"
    assert (put.method, put.body) == ("PUT", b"[]")
    assert put.headers["Content-Type"] == "application/x+json"


async def test_content_and_headers_are_sent_as_they_are(server: Server) -> None:
    headers = [("X-Tag", "one"), ("X-Tag", "two"), ("User-Agent", "me"), ("Host", "v")]
    await fetch(server.url(), "POST", headers, content=b"\x00\xff")
    await fetch(server.url(), "POST", content="grüß")
    first, second = server.asked
    assert first.headers.getlist("x-tag") == ["one", "two"]
    assert first.headers.getlist("user-agent") == ["me"]
    assert first.headers.getlist("host") == ["v"]
    assert first.body == b"\x00\xff"
    assert second.body == "grüß".encode()


async def test_head_has_no_body(server: Server) -> None:
    server.handler = lambda asked: Answer(length=10**12)
    response = await fetch(server.url(), "HEAD")
    assert response.body == b""
    assert response.headers["Content-Length"] == str(10**12)


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 404, 409, 418, 451])
async def test_status_that_no_retry_changes_is_returned(
    server: Server, status: int
) -> None:
    server.handler = lambda asked: Answer(status)
    assert (await fetch(server.url())).status == status


@pytest.mark.parametrize("status", [429, 500, 502, 503, 599])
async def test_status_that_a_retry_may_change_is_raised(
    server: Server, status: int
) -> None:
    server.handler = lambda asked: Answer(status, [], b"we are d\xffwn" + b"!" * 10**7)
    with pytest.raises(FetchStatusError) as failure:
        await fetch(server.url("/s3cret?key=s3cret"))
    assert failure.value.status == status
    assert failure.value.excerpt.startswith("we are d\ufffdwn!!")
    assert len(failure.value.excerpt) == 1000
    assert failure.value.retry_after is None
    assert f"answered {status}" in str(failure.value)
    assert "s3cret" not in str(failure.value)


async def test_server_says_when_to_come_again(server: Server) -> None:
    server.handler = lambda asked: Answer(503, [("Retry-After", "17")])
    with pytest.raises(FetchStatusError) as failure:
        await fetch(server.url())
    assert failure.value.retry_after == 17


# -- bodies ---------------------------------------------------------------------------


async def test_packed_body_is_unpacked(server: Server) -> None:
    server.handler = lambda asked: Answer(
        200,
        [("Content-Encoding", asked.headers["Accept-Encoding"])],
        gzip.compress(b"x"),
    )
    assert (await fetch(server.url())).body == b"x"


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b"x" * 100)[:-9], id="cut off"),
    ],
)
async def test_damaged_body_is_a_connection_error(
    server: Server, packed: bytes
) -> None:
    server.handler = lambda asked: Answer(200, [("Content-Encoding", "gzip")], packed)
    with pytest.raises(ConnectionError, match="gzip"):
        await fetch(server.url())


async def test_body_that_ends_early_is_a_connection_error(server: Server) -> None:
    server.handler = lambda asked: Answer(200, [("Connection", "close")], b"x", 100)
    with pytest.raises(ConnectionError):
        await fetch(server.url())


async def test_body_is_limited(server: Server) -> None:
    server.handler = lambda asked: Answer(body=b"x" * int(asked.path[1:]))
    with with_workflows(FETCH_ALLOW_PRIVATE=True, MAX_PAYLOAD_BYTES=100_000):
        assert len((await fetch(server.url("/100000"))).body) == 100_000
        with pytest.raises(PayloadTooLargeError, match="100,000"):
            await fetch(server.url("/100001"))


async def test_large_body_is_refused_by_its_length_alone(server: Server) -> None:
    server.handler = lambda asked: Answer(length=10**12)
    with pytest.raises(PayloadTooLargeError):
        await fetch(server.url())


async def test_body_without_a_length_is_not_read_any_further(
    allow_private: None,
) -> None:
    """The server never ends: the body is refused while it is still being sent."""

    def send_for_ever() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            try:
                while True:
                    connection.sendall(b"x" * 65536)
            except OSError:
                hung_up.set()

    hung_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=send_for_ever)
        thread.start()
        with pytest.raises(PayloadTooLargeError):
            await fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert hung_up.is_set()


async def test_bomb_is_not_unpacked(server: Server) -> None:
    bomb = gzip.compress(bytes(10**8))
    assert len(bomb) < 10**5 + 10**4
    server.handler = lambda asked: Answer(200, [("Content-Encoding", "gzip")], bomb)
    with pytest.raises(PayloadTooLargeError):
        await fetch(server.url())


# -- errors ---------------------------------------------------------------------------


async def test_nobody_listens(allow_private: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionError, match=f"GET http://127.0.0.1:{port}:"):
        await fetch(f"http://127.0.0.1:{port}/s3cret")


async def test_name_that_is_not_found() -> None:
    with pytest.raises(ConnectionError, match=r"no-such-host\.invalid is not found"):
        await fetch("https://no-such-host.invalid/")


async def test_slow_answer_is_a_timeout(allow_private: None) -> None:
    # It accepts, and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/s3cret"
        with pytest.raises(
            TimeoutError, match=r"not answered in full in 0\.05 s"
        ) as late:
            await fetch(url, timeout="50ms")
    assert "s3cret" not in str(late.value)


async def test_timeout_is_for_the_body_too(server: Server) -> None:
    server.handler = lambda asked: Answer(length=10)
    proceed = threading.Event()

    def answer(asked: Any) -> Answer:
        if asked.path == "/slow":
            proceed.wait(DEADLINE)
        return Answer(302, [("Location", "/slow")])

    server.handler = answer
    with pytest.raises(TimeoutError):
        await fetch(server.url("/"), timeout=0.2)
    proceed.set()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("gopher://127.0.0.1:25/", "only http and https"),
        ("data:text/plain,hi", "only http and https"),
        ("//example.com/", "only http and https"),
        ("/relative", "only http and https"),
        ("", "only http and https"),
        ("http://", "no host"),
        ("http:///path", "no host"),
        ("https://user@example.com/", "user or password"),
        ("https://user:s3cret@example.com/", "user or password"),
        ("https://:s3cret@example.com/", "user or password"),
        ("http://exa mple.com/", "no URL"),
        ("http://exa%6Dple.com/", "no URL"),
        ("http://127.0.0.1%2f@[::1]/", "user or password"),
        ("http://[fe80::1%25eth0]/", "no URL"),
        ("http://example.com:99999/", "no URL"),
        ("http://256.256.256.256/", "no URL"),
        ("http://example.com/\r\nHost: evil", "no URL"),
        (None, "a URL is text"),
    ],
)
async def test_url_that_is_refused(url: Any, why: str) -> None:
    with pytest.raises(FatalError, match=why) as refusal:
        await fetch(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"json": {}, "content": b""},
        {"json": float("nan")},
        {"json": object()},
        {"content": 3},
        {"method": "CONNECT"},
        {"method": "trace"},
        {"method": "GET /x"},
        {"method": "GÉT"},
        {"headers": {"X": "a\r\nb: c"}},
        {"headers": {"X\n": "a"}},
        {"headers": {"Ü": "a"}},
        {"headers": {"X": "日本"}},
        {"headers": {"Content-Length": "x"}},
        {"headers": 3},
        {"timeout": "soon"},
        {"timeout": -1},
    ],
    ids=lambda arguments: "+".join(arguments),
)
async def test_arguments_that_make_no_request(
    server: Server, arguments: dict[str, Any]
) -> None:
    with pytest.raises(FatalError):
        await fetch(server.url(), **arguments)
    assert server.asked == []


async def test_without_httpx_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "django_workflows.http.exchange", raising=False)
    monkeypatch.delattr("django_workflows.http.exchange", raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(FatalError, match=r"pip install django-workflows\[http\]"):
        await fetch("https://example.com/")


async def test_proxies_of_the_environment_are_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await fetch(server.url())).ok
        assert proxy.asked == []
    assert len(server.asked) == 1


async def test_urls_are_not_logged(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        await fetch(server.url("/s3cret"))
    assert "s3cret" not in caplog.text


def test_response_is_what_the_types_say() -> None:
    assert fetch.name == "django_workflows.fetch"
    assert fetch.is_async
    assert FetchResponse.__module__ == "django_workflows.http.response"
