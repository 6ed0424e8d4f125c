"""Which addresses are refused: all that do not belong to the public internet.

The table is that of IANA's registries of special-purpose addresses. It stands here,
and not in the hands of `ipaddress`, whose answers differ between Python's releases.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

_REFUSED_4 = tuple(
    (IPv4Network(network), kind)
    for network, kind in {
        "0.0.0.0/8": "unspecified",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared (carrier-grade NAT)",
        "127.0.0.0/8": "loopback",
        # The cloud providers' metadata services among them.
        "169.254.0.0/16": "link-local",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved",
        "192.0.2.0/24": "reserved for documentation",
        "192.88.99.0/24": "reserved",
        "192.168.0.0/16": "private",
        "198.18.0.0/15": "reserved for benchmarks",
        "198.51.100.0/24": "reserved for documentation",
        "203.0.113.0/24": "reserved for documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        # A public address by its number, but inside Azure it is the host's own service.
        "168.63.129.16/32": "a cloud's internal service",
    }.items()
)
_REFUSED_6 = tuple(
    (IPv6Network(network), kind)
    for network, kind in {
        "::/128": "unspecified",
        "::1/128": "loopback",
        "fc00::/7": "private",
        "fe80::/10": "link-local",
        "ff00::/8": "multicast",
        "2001::/23": "reserved",  # Teredo, which hides an IPv4 address, among them
        "2001:db8::/32": "reserved for documentation",
        "2002::/16": "6to4",  # hides an IPv4 address
        "3fff::/20": "reserved for documentation",
    }.items()
)
#: All that is in use of IPv6's public internet; the rest is reserved.
_PUBLIC_6 = IPv6Network("2000::/3")
#: Those that stand for the IPv4 address in their last 32 bits: mapped, and NAT64.
_EMBEDDING = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


def refusal(address: str) -> str | None:
    """Why ``fetch`` does not connect to this address; None if it is a public one.

    Raises ValueError for what is no IP address.
    """
    # A scope belongs to link-local addresses, and is no part of the number.
    return _refusal(ip_address(address.partition("%")[0]))


def _refusal(address: IPv4Address | IPv6Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((kind for net, kind in _REFUSED_4 if address in net), None)
    for network in _EMBEDDING:
        if address in network:
            return _refusal(IPv4Address(int(address) & 0xFFFFFFFF))
    for network, kind in _REFUSED_6:
        if address in network:
            return kind
    return None if address in _PUBLIC_6 else "reserved"
