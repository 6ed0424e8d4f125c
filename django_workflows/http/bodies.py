"""Bodies of responses, read as they come and never further than allowed."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable

from django_workflows.core.headers import Headers

#: What `read` can unpack, for the header Accept-Encoding.
ACCEPTED = "gzip"
_GZIP = 16 + zlib.MAX_WBITS


async def read(
    chunks: AsyncIterable[bytes], headers: Headers, limit: int
) -> tuple[bytes, bool]:
    """The body, unpacked, up to ``limit`` bytes, and whether that is all of it.

    Of what is longer nothing more is read, or unpacked: few bytes may hold very many.
    Raises ConnectionError if the packed data are damaged.
    """
    packed = headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")
    inflate = zlib.decompressobj(_GZIP) if packed else None
    body = bytearray()
    begun = False
    async for chunk in chunks:
        begun = True
        if inflate is None:
            body += chunk
        else:
            try:
                body += inflate.decompress(chunk, limit + 1 - len(body))
            except zlib.error as error:
                raise ConnectionError(f"the body is no gzip: {error}") from None
        if len(body) > limit:
            return bytes(body[:limit]), False
    if inflate is not None and begun and not inflate.eof:
        raise ConnectionError("the body's gzip data end too early")
    return bytes(body), True
