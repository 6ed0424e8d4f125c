"""Payload codecs to name in ``WORKFLOWS["PAYLOAD_CODEC"]``."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from django.core.exceptions import ImproperlyConfigured

from django_workflows.conf import conf
from django_workflows.errors import SerializationError, UnknownCodeError

_KEY_ID_LENGTH = 8


class FernetCodec:
    """Authenticated encryption with the keys in ``WORKFLOWS["ENCRYPTION_KEYS"]``.

    The first key encrypts; every key decrypts, so put a new one in front and remove
    the old one when nothing stored needs it any more. Make keys with
    ``Fernet.generate_key().decode()``. Needs the package ``cryptography``.
    """

    def encode(self, data: bytes) -> bytes:
        """``data``, encrypted. Raises ``ImproperlyConfigured`` without a usable key."""
        keys = _keys(tuple(conf.ENCRYPTION_KEYS))
        if not keys:
            raise ImproperlyConfigured(
                "FernetCodec needs a key in WORKFLOWS['ENCRYPTION_KEYS']"
            )
        key_id, fernet = next(iter(keys.items()))
        return key_id + fernet.encrypt(data)

    def decode(self, data: bytes) -> bytes:
        """The bytes that were encrypted.

        Raises ``UnknownCodeError`` if the key is not here, ``SerializationError`` if
        the data have been changed.
        """
        key_id, token = data[:_KEY_ID_LENGTH], data[_KEY_ID_LENGTH:]
        fernet = _keys(tuple(conf.ENCRYPTION_KEYS)).get(key_id)
        if fernet is None:
            raise UnknownCodeError(
                "a payload is encrypted with a key that is not in "
                "WORKFLOWS['ENCRYPTION_KEYS']"
            )
        try:
            return fernet.decrypt(token)
        except InvalidToken as error:
            raise SerializationError(
                "damaged payload: it is not what was encrypted"
            ) from error


@lru_cache(maxsize=8)
def _keys(keys: tuple[str | bytes, ...]) -> dict[bytes, Fernet]:
    """The keys by the first characters of their hash, in the order given."""
    found: dict[bytes, Fernet] = {}
    for key in keys:
        raw = key.encode() if isinstance(key, str) else key
        key_id = hashlib.sha256(raw).hexdigest()[:_KEY_ID_LENGTH].encode()
        try:
            found[key_id] = Fernet(raw)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"WORKFLOWS['ENCRYPTION_KEYS']: {error}"
            ) from error
    return found
