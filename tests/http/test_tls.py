"""TLS: the connection goes to an address, the certificate is for the name."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from django_workflows import fetch
from django_workflows.http import exchange
from tests.http.server import Answer, Server, serving

LOOKED_UP = socket.getaddrinfo


@pytest.fixture
def certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allow_private: None
) -> Iterator[Server]:
    """A server with a trusted certificate for shop.example and 127.0.0.1, to which all
    names of hosts lead."""
    certificate = write_certificate(tmp_path, "shop.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    exchange._tls.cache_clear()

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        host = "127.0.0.1" if str(host).endswith("example") else host
        return LOOKED_UP(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, tmp_path / "key.pem")
    with serving(tls=tls) as server:
        yield server
    exchange._tls.cache_clear()


def write_certificate(folder: Path, name: str) -> Path:
    """Write a certificate that signs itself, and its key; return the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


async def test_server_is_asked_for_the_name_and_checked_against_it(
    certified: Server,
) -> None:
    assert (await fetch(certified.url("/", "shop.example"))).ok
    assert certified.names == ["shop.example"]
    assert certified.asked[0].headers["Host"] == f"shop.example:{certified.port}"


async def test_certificate_for_another_name_is_refused(certified: Server) -> None:
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await fetch(certified.url("/s3cret", "evil.example"))
    assert certified.names == ["evil.example"]
    assert certified.asked == []


async def test_certificate_is_checked_anew_after_a_redirect_to_the_same_address(
    certified: Server,
) -> None:
    location = certified.url("/", "evil.example")
    certified.handler = lambda asked: Answer(302, [("Location", location)])
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await fetch(certified.url("/", "shop.example"))
    assert certified.names == ["shop.example", "evil.example"]
    assert len(certified.asked) == 1


async def test_certificate_for_an_address(certified: Server) -> None:
    assert (await fetch(certified.url())).ok
    assert certified.names == [None]


async def test_unknown_issuer_is_refused(
    certified: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    exchange._tls.cache_clear()
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await fetch(certified.url("/", "shop.example"))
