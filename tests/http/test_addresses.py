"""Which addresses `fetch` refuses to connect to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_workflows.http.addresses import refusal

_REFUSED = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255
    127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192
    192.0.2.7 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.9
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:a9fe:a9fe ::ffff:10.0.0.1
    ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1
    fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 2001::1
    2001:0:5ef5:79fd::1 2001:db8::1 2002:7f00:1::1 2002:808:808::1 3fff::1 4000::1
    5f00::1
"""
_PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.215.14 100.63.255.255 100.128.0.0
    126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0
    192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
    2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4001:81b::200e
    ::ffff:8.8.8.8 64:ff9b::8.8.8.8
"""


@pytest.mark.parametrize("address", _REFUSED.split())
def test_address_is_refused(address: str) -> None:
    assert refusal(address)


@pytest.mark.parametrize("address", _PUBLIC.split())
def test_public_address_is_allowed(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("10.1.2.3", "private"),
        ("224.0.0.251", "multicast"),
    ],
)
def test_kind_of_address_is_named(address: str, kind: str) -> None:
    assert refusal(address) == kind


@given(st.ip_addresses(v=4))
@example(IPv4Address("223.255.255.255"))
def test_nothing_that_python_calls_special_is_allowed(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert refusal(str(address)) or str(address) in ("192.0.0.9", "192.0.0.10")


@given(st.ip_addresses(v=6))
@example(ip_address("fec0::1"))
def test_nothing_that_python_calls_special_in_ipv6_is_allowed(
    address: IPv6Address,
) -> None:
    special = (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or address.is_site_local
    )
    embeds = address.ipv4_mapped or str(address).startswith("64:ff9b::")
    if special and not embeds:
        assert refusal(str(address))


@given(st.ip_addresses(v=4))
def test_embedded_address_is_judged_as_itself(address: IPv4Address) -> None:
    for prefix in ("::ffff:", "64:ff9b::"):
        assert refusal(f"{prefix}{address}") == refusal(str(address))


def test_what_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="localhost"):
        refusal("localhost")
