"""What ``fetch`` returns: a response as a value, with its whole body."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from django_workflows.core.headers import Headers, HeaderSource, decode_text
from django_workflows.core.serialization import register_type
from django_workflows.errors import FetchStatusError

#: Characters of the body that an error keeps.
EXCERPT = 1000


@dataclass(frozen=True, repr=False)
class FetchResponse:
    """An HTTP response. It can be passed on, stored, and made by hand in tests.

    ``headers`` are given as a mapping or as pairs, and found in any case;
    ``headers.getlist(name)`` has each value of a repeated one. ``body`` is what the
    server meant, unpacked if it came compressed. ``url`` is where it came from, after
    redirects.
    """

    status: int
    headers: Headers
    body: bytes
    url: str

    def __init__(
        self,
        status: int = 200,
        headers: HeaderSource = (),
        body: bytes = b"",
        url: str = "",
    ) -> None:
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "headers", Headers(headers))
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "url", url)

    @property
    def ok(self) -> bool:
        """Whether the status says success: 200 to 299."""
        return 200 <= self.status < 300

    def text(self) -> str:
        """The body as text, in the charset that the headers name, else UTF-8.

        Bytes that are none of it become U+FFFD.
        """
        return decode_text(self.headers, self.body)

    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is none."""
        return json.loads(self.body)

    def raise_for_status(self) -> FetchResponse:
        """This response if it is `ok`; raises FetchStatusError otherwise."""
        if not self.ok:
            raise FetchStatusError(
                f"{origin(self.url)} answered {describe(self.status)}",
                status=self.status,
                excerpt=self.text()[:EXCERPT],
            )
        return self

    def __repr__(self) -> str:
        return f"<FetchResponse {self.status}, {len(self.body)} bytes>"


def describe(status: int) -> str:
    """A status as people know it: ``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def origin(url: str) -> str:
    """What messages say of a URL: its path and query may hold secrets."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else "the server"


register_type(
    FetchResponse,
    encode=lambda response: {
        "status": response.status,
        "headers": response.headers,
        "body": response.body,
        "url": response.url,
    },
    decode=lambda parts: FetchResponse(**parts),
    name="django_workflows.FetchResponse",
)
