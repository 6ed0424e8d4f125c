"""What goes into the bytes columns: encoded values, limited in size, codec applied.

A sealed payload that begins with the byte 1 went through the codec; what did not is
JSON, which never begins so. Payloads from before a codec was set stay readable.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_workflows.conf import conf
from django_workflows.errors import PayloadTooLargeError, UnknownCodeError

_CODED = b"\x01"


class PayloadCodec(Protocol):
    """What ``WORKFLOWS["PAYLOAD_CODEC"]`` names: a class made without arguments."""

    def encode(self, data: bytes) -> bytes:
        """``data`` as it is to be stored."""

    def decode(self, data: bytes) -> bytes:
        """The bytes that ``encode`` was given.

        Raises ``UnknownCodeError`` if this process lacks the key to them.
        """


def seal(data: bytes) -> bytes:
    """Encoded ``data`` as it is stored.

    Raises ``PayloadTooLargeError`` if it is longer than ``MAX_PAYLOAD_BYTES``.
    """
    check_size(data)
    name = conf.PAYLOAD_CODEC
    return data if name is None else _CODED + _codec(name).encode(data)


def check_size(data: bytes) -> bytes:
    """``data`` as it is; raises ``PayloadTooLargeError`` as ``seal`` would."""
    limit = conf.MAX_PAYLOAD_BYTES
    if len(data) > limit:
        raise PayloadTooLargeError(
            f"the value needs {len(data):,} bytes and WORKFLOWS['MAX_PAYLOAD_BYTES'] "
            f"is {limit:,}; store it elsewhere and pass a reference to it"
        )
    return data


def is_sealed(data: bytes) -> bool:
    """Whether a stored payload went through a codec: it is not to be read as it is."""
    return data.startswith(_CODED)


def unseal(data: bytes) -> bytes:
    """The encoded data in a stored payload.

    Raises ``UnknownCodeError`` if it was sealed with a codec or key that this process
    does not have.
    """
    if type(data) is not bytes:
        data = bytes(data)
    if not is_sealed(data):
        return data
    name = conf.PAYLOAD_CODEC
    if name is None:
        raise UnknownCodeError(
            "a payload was stored with a codec, and WORKFLOWS['PAYLOAD_CODEC'] names "
            "none"
        )
    return _codec(name).decode(data[len(_CODED) :])


@lru_cache(maxsize=8)
def _codec(name: str) -> PayloadCodec:
    try:
        return cast(PayloadCodec, import_string(name)())
    except ImportError as error:
        raise ImproperlyConfigured(f"WORKFLOWS['PAYLOAD_CODEC']: {error}") from error
