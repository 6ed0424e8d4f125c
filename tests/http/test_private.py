"""Hosts inside the network are refused, however they are written or looked up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from django_workflows import FatalError, fetch
from django_workflows.http import addresses
from tests.http.server import Server, second_loopback, serving

LOOKED_UP = socket.getaddrinfo


@pytest.fixture
def private() -> Iterator[Server]:
    """A server that nobody may reach."""
    with serving() as server:
        yield server
        assert server.asked == []


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What the names of hosts are answered with, look-up by look-up."""
    answers: dict[str, list[list[str]]] = {}

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in answers:
            return LOOKED_UP(host, port, *args, **kwargs)
        # The last answer is for all that ask later.
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [
            entry for one in found for entry in LOOKED_UP(one, port, *args, **kwargs)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "127.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7F.1",
        "0177.1",
        "0177.0.0.1",
        "017700000001",
        "2130706433",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "[64:ff9b::127.0.0.1]",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "example.com@127.0.0.1",
        "127.0.0.1#@example.com",
        "127.0.0.1?@example.com",
        "127.0.0.1\\@example.com",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ],
)
async def test_private_host_is_refused(private: Server, host: str) -> None:
    with pytest.raises(FatalError):
        await fetch(private.url("/", host))


@pytest.mark.parametrize("host", ["127.0.0.1.", "localhost."])
async def test_private_host_with_a_dot_is_not_reached(
    private: Server, host: str
) -> None:
    """Some resolvers know these names, and some do not."""
    with pytest.raises((FatalError, ConnectionError)):
        await fetch(private.url("/", host))


async def test_refusal_says_address_and_setting(private: Server) -> None:
    with pytest.raises(
        FatalError, match=r"localhost: its address .* is loopback"
    ) as no:
        await fetch(private.url("/", "localhost"))
    assert "WORKFLOWS['FETCH_ALLOW_PRIVATE']" in str(no.value)


async def test_name_with_a_private_address_is_refused(
    private: Server, lookups: dict[str, list[list[str]]]
) -> None:
    lookups["inside.example"] = [["127.0.0.1"]]
    with pytest.raises(FatalError, match=r"127\.0\.0\.1 is loopback"):
        await fetch(private.url("/", "inside.example"))


async def test_name_with_a_private_address_among_others_is_refused(
    private: Server, lookups: dict[str, list[list[str]]]
) -> None:
    lookups["both.example"] = [["93.184.215.14", "127.0.0.1"]]
    with pytest.raises(FatalError, match=r"127\.0\.0\.1 is loopback"):
        await fetch(private.url("/", "both.example"))


@second_loopback
async def test_second_lookup_does_not_count(
    private: Server,
    lookups: dict[str, list[list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name turns private after it was checked; 127.0.0.2 plays a public address."""
    judged = addresses.refusal
    monkeypatch.setattr(
        "django_workflows.http.exchange.refusal",
        lambda address: None if address == "127.0.0.2" else judged(address),
    )
    lookups["rebinding.example"] = [["127.0.0.2"], ["127.0.0.1"]]
    with serving("127.0.0.2", port=private.port) as public:
        url = public.url("/", "rebinding.example")
        assert (await fetch(url)).ok
        assert public.asked[0].headers["Host"] == f"rebinding.example:{public.port}"
        with pytest.raises(FatalError, match="is loopback"):
            await fetch(url)
        assert len(public.asked) == 1


@second_loopback
async def test_next_address_is_tried_if_one_takes_no_connection(
    server: Server, lookups: dict[str, list[list[str]]]
) -> None:
    lookups["many.example"] = [["::1", "127.0.0.3", "127.0.0.1"]]
    assert (await fetch(server.url("/", "many.example"))).ok
    assert len(server.asked) == 1


async def test_private_hosts_are_reached_where_that_is_allowed(server: Server) -> None:
    assert (await fetch(server.url("/", "localhost"))).ok
