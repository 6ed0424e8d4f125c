"""Redirects: what is sent on, what stays behind, and where none may lead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_workflows import FatalError, fetch
from django_workflows.http import addresses
from tests.http.server import Answer, Asked, Handler, Server, second_loopback, serving

SECRETS = {
    "Authorization": "Bearer s3cret",
    "Cookie": "session=s3cret",
    "X-Api-Key": "s3cret",
    "Accept": "text/plain",
}


def to(location: str, status: int = 302) -> Handler:
    """Redirect there, except those who ask for "/end"."""

    def answer(asked: Asked) -> Answer:
        if asked.path.startswith("/end"):
            return Answer(200, [], b"end")
        return Answer(status, [("Location", location), ("Set-Cookie", "tracked=1")])

    return answer


@pytest.fixture
def other(allow_private: None) -> Iterator[Server]:
    with serving() as other:
        other.handler = to("/end")
        yield other


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/end?x=1", "/end?x=1"),
        ("end", "/end"),
        ("../../end/up", "/end/up"),
        ("//127.0.0.1:{port}/end", "/end"),
        ("http://127.0.0.1:{port}/end", "/end"),
    ],
)
async def test_redirect_is_followed(server: Server, location: str, path: str) -> None:
    server.handler = to(location.format(port=server.port))
    response = await fetch(server.url("/start"), headers=SECRETS)
    assert response.body == b"end"
    assert response.url == server.url(path)
    first, second = server.asked
    assert (first.path, second.path) == ("/start", path)
    assert second.headers["Authorization"] == "Bearer s3cret"
    # What the caller sends is sent on; nothing that the server wanted to be kept.
    assert second.headers["Cookie"] == "session=s3cret"


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (308, "GET", "GET"),
    ],
)
async def test_method_after_a_redirect(
    server: Server, status: int, method: str, becomes: str
) -> None:
    server.handler = to("/end", status)
    body = None if method in ("GET", "HEAD") else [1]
    await fetch(server.url(), method, json=body)
    first, second = server.asked
    assert (first.method, second.method) == (method, becomes)
    keeps_body = body is not None and becomes != "GET"
    assert second.body == (b"[1]" if keeps_body else b"")
    assert ("Content-Type" in second.headers) is keeps_body


async def test_secrets_stay_with_their_origin(server: Server, other: Server) -> None:
    server.handler = to(other.url("/start"))
    await fetch(server.url(), headers={**SECRETS, "Host": "virtual.example"})
    first, second = other.asked
    assert server.asked[0].headers["X-Api-Key"] == "s3cret"
    for asked in (first, second):
        assert "s3cret" not in str(asked.headers.pairs)
        assert asked.headers["Accept"] == "text/plain"
        assert asked.headers["Host"] == f"127.0.0.1:{other.port}"


async def test_secrets_do_not_come_back(server: Server, other: Server) -> None:
    server.handler = to(other.url("/start"))
    other.handler = to(server.url("/end"))
    await fetch(server.url(), headers=SECRETS)
    assert "Authorization" not in server.asked[-1].headers


async def test_name_is_another_origin_than_its_address(server: Server) -> None:
    server.handler = to(server.url("/end", "localhost"))
    await fetch(server.url(), headers=SECRETS)
    assert "Authorization" not in server.asked[1].headers


@pytest.mark.parametrize("status", [300, 304, 305, 306])
async def test_other_statuses_are_no_redirects(server: Server, status: int) -> None:
    server.handler = to("/end", status)
    assert (await fetch(server.url())).status == status


async def test_redirect_without_a_place_is_returned(server: Server) -> None:
    server.handler = lambda asked: Answer(302)
    assert (await fetch(server.url())).status == 302


async def test_redirects_are_counted(server: Server) -> None:
    server.handler = to("/again")
    with pytest.raises(FatalError, match="more than 10 times"):
        await fetch(server.url())
    assert len(server.asked) == 11


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "http://user:s3cret@example.com/",
        "http://exa%20mple.com/",
        "http://[::1",
    ],
)
async def test_redirect_to_what_is_never_fetched(server: Server, location: str) -> None:
    server.handler = to(location)
    with pytest.raises(FatalError, match="redirects wrongly"):
        await fetch(server.url())
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/end",
        "http://localhost:{port}/end",
        "http://[::ffff:127.0.0.1]:{port}/end",
        "http://0x7f.1:{port}/end",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
@second_loopback
async def test_redirect_into_the_private_network(
    monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    """127.0.0.2 plays the public server that leads us astray."""
    judged = addresses.refusal
    monkeypatch.setattr(
        "django_workflows.http.exchange.refusal",
        lambda address: None if address == "127.0.0.2" else judged(address),
    )
    with serving("127.0.0.2") as public, serving() as private:
        public.handler = to(location.format(port=private.port))
        with pytest.raises(FatalError, match="does not connect to"):
            await fetch(public.url("/", "127.0.0.2"))
        assert len(public.asked) == 1
        assert private.asked == []
