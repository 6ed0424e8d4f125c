"""Lengths of time as people write them: seconds, timedeltas or text."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias, TypeGuard

Duration: TypeAlias = int | float | timedelta | str
"""Seconds as a number, a ``timedelta``, or text such as ``"1h30m"`` or ``"PT5M"``."""

_UNITS: dict[str, Fraction] = {
    unit: Fraction(seconds)
    for seconds, units in {
        "1/1000": "ms msec msecs millisecond milliseconds",
        "1": "s sec secs second seconds",
        "60": "m min mins minute minutes",
        "3600": "h hr hrs hour hours",
        "86400": "d day days",
        "604800": "w wk wks week weeks",
    }.items()
    for unit in units.split()
}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")
_NUMBER = r"([0-9]+(?:[.,][0-9]+)?)"
_ISO = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=[0-9])(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_ISO_UNITS = ("w", "d", "h", "m", "s")
_LONGEST = timedelta.max.total_seconds()


def to_seconds(value: Duration) -> float:
    """The length of ``value`` in seconds.

    Raises ``ValueError`` naming the value if it is negative, endless, too long
    for a ``timedelta``, or not a duration at all.
    """
    if isinstance(value, str):
        seconds = _parse(value)
    elif isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif _is_number(value):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
    else:
        raise ValueError(
            f"not a duration: {value!r}; give seconds, a timedelta, or text "
            'such as "30s", "1h30m" or "3d"'
        )
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(f"not a usable duration: {value!r}; it is negative or endless")
    return seconds


def to_text(seconds: float) -> str:
    """A length in seconds as text that means exactly the same: ``"1h30m"``."""
    exact = Decimal(repr(float(seconds)))
    if 0 < exact < 1:
        return f"{(exact * 1000).normalize():f}ms"
    text = ""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        count, exact = divmod(exact, size)
        if count:
            text += f"{count:f}{unit}"
    if exact or not text:
        text += f"{exact.normalize():f}s"
    return text


def resolve(value: Duration | datetime, now: datetime) -> datetime:
    """The point in time that ``value`` means, seen from ``now``.

    A ``datetime`` stands for itself. Raises ``ValueError`` naming the value for a
    naive ``datetime``, for nonsense, and for what lies beyond the year 9999.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"naive datetime: {value!r}; give it a time zone")
        return value
    try:
        return now + timedelta(seconds=to_seconds(value))
    except OverflowError:
        raise ValueError(f"not a usable duration: {value!r}; it is too long") from None


def _is_number(value: object) -> TypeGuard[int | float | Decimal]:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


@lru_cache(maxsize=1024)
def _parse(text: str) -> float:
    total = _parse_iso(text) if text.startswith("P") else _parse_units(text)
    if total is None:
        raise ValueError(
            f'not a duration: {text!r}; write it like "500ms", "30s", "1h30m", '
            '"3d", "2w" or "PT5M"'
        )
    try:
        return float(total)
    except OverflowError:
        return math.inf


def _parse_iso(text: str) -> Fraction | None:
    match = _ISO.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    return sum(
        (
            Fraction(number.replace(",", ".")) * _UNITS[unit]
            for number, unit in zip(match.groups(), _ISO_UNITS, strict=True)
            if number
        ),
        Fraction(),
    )


def _parse_units(text: str) -> Fraction | None:
    total, position, seen = Fraction(), 0, set()
    while match := _PART.match(text, position):
        number, unit = match.groups()
        # A lone capital is refused: "1M" might be meant as a month.
        size = _UNITS.get(unit if len(unit) == 1 else unit.lower())
        if size is None or size in seen:
            return None
        seen.add(size)
        total += Fraction(number) * size
        position = match.end()
    return total if seen and position == len(text) else None
