"""The header ``Retry-After``: seconds, or a date."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from django_workflows.core.headers import Headers

#: A server that asks for more is asked again after this long: one day.
LONGEST_WAIT = 86_400.0


def retry_after(headers: Headers, now: datetime) -> float | None:
    """Seconds that the server asks us to wait, at most LONGEST_WAIT.

    None if it asks for none, or says it in no way that HTTP knows. A date counts from
    the server's own clock (its ``Date``), else from ``now``.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        # Digits without end are a number too long to be read.
        seconds = float(text) if len(text) < 16 else LONGEST_WAIT
    else:
        until = _date(text)
        if until is None:
            return None
        seconds = (until - (_date(headers.get("Date", "")) or now)).total_seconds()
    return min(seconds, LONGEST_WAIT) if seconds > 0 else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date
