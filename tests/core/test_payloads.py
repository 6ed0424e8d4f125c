from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from django_workflows.core.payloads import seal, unseal
from django_workflows.core.serialization import dumps, loads
from django_workflows.errors import (
    PayloadTooLargeError,
    SerializationError,
    UnknownCodeError,
)

FERNET = "django_workflows.codecs.FernetCodec"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


class Backwards:
    def encode(self, data: bytes) -> bytes:
        return data[::-1]

    def decode(self, data: bytes) -> bytes:
        return data[::-1]


def _configure(settings: Any, **workflows: Any) -> None:
    settings.WORKFLOWS = workflows


def test_without_a_codec_the_data_are_stored_as_they_are() -> None:
    data = dumps({"a": (1, "é")})
    assert seal(data) == data
    assert unseal(data) == data
    assert unseal(memoryview(data)) == data  # type: ignore[arg-type]


def test_a_codec_is_applied(settings: Any) -> None:
    _configure(settings, PAYLOAD_CODEC=f"{__name__}.Backwards")
    data = dumps([1, (2,)])
    assert seal(data) == b"\x01" + data[::-1]
    assert loads(unseal(seal(data))) == [1, (2,)]
    assert unseal(memoryview(seal(data))) == data  # type: ignore[arg-type]


def test_payloads_from_before_the_codec_can_be_read(settings: Any) -> None:
    _configure(settings, PAYLOAD_CODEC=f"{__name__}.Backwards")
    assert unseal(b"[1]") == b"[1]"


def test_payloads_of_a_codec_that_is_gone_are_unknown_code(
    settings: Any,
) -> None:
    _configure(settings, PAYLOAD_CODEC=f"{__name__}.Backwards")
    sealed = seal(b"[1]")
    _configure(settings)
    with pytest.raises(UnknownCodeError, match="names none"):
        unseal(sealed)


def test_a_codec_that_cannot_be_imported_is_named(settings: Any) -> None:
    _configure(settings, PAYLOAD_CODEC="no.such.Codec")
    with pytest.raises(ImproperlyConfigured, match="PAYLOAD_CODEC"):
        seal(b"1")


def test_too_large_a_payload_is_refused(settings: Any) -> None:
    _configure(settings, MAX_PAYLOAD_BYTES=10)
    assert seal(b"x" * 10)
    with pytest.raises(PayloadTooLargeError, match="needs 11 bytes"):
        seal(b"x" * 11)


def test_the_limit_is_two_mebibytes() -> None:
    assert seal(b"x" * 2**21)
    with pytest.raises(PayloadTooLargeError, match="2,097,152"):
        seal(b"x" * (2**21 + 1))


def test_encrypted_payloads_come_back(settings: Any) -> None:
    _configure(settings, PAYLOAD_CODEC=FERNET, ENCRYPTION_KEYS=[NEW])
    sealed = seal(b'"secret"')
    assert b"secret" not in sealed
    assert seal(b'"secret"') != sealed
    assert unseal(sealed) == b'"secret"'


def test_keys_can_be_rotated(settings: Any) -> None:
    _configure(settings, PAYLOAD_CODEC=FERNET, ENCRYPTION_KEYS=[OLD])
    before = seal(b"1")
    _configure(settings, PAYLOAD_CODEC=FERNET, ENCRYPTION_KEYS=[NEW, OLD])
    after = seal(b"2")
    assert (unseal(before), unseal(after)) == (b"1", b"2")
    _configure(settings, PAYLOAD_CODEC=FERNET, ENCRYPTION_KEYS=[NEW])
    assert unseal(after) == b"2"
    with pytest.raises(UnknownCodeError, match="key that is not in"):
        unseal(before)
    _configure(settings, PAYLOAD_CODEC=FERNET, ENCRYPTION_KEYS=[OLD])
    with pytest.raises(UnknownCodeError):
        unseal(after)


def test_changed_payloads_are_refused(settings: Any) -> None:
    _configure(settings, PAYLOAD_CODEC=FERNET, ENCRYPTION_KEYS=[NEW])
    sealed = bytearray(seal(b"1"))
    sealed[40] ^= 1
    with pytest.raises(SerializationError, match="not what was encrypted"):
        unseal(bytes(sealed))


@pytest.mark.parametrize("keys", [[], ["short"]])
def test_encryption_without_a_usable_key_is_refused(
    settings: Any, keys: list[str]
) -> None:
    _configure(settings, PAYLOAD_CODEC=FERNET, ENCRYPTION_KEYS=keys)
    with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS"):
        seal(b"1")
