"""Lengths of time, in words for people."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.formats import number_format
from django.utils.translation import gettext as _

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def in_words(length: timedelta | float) -> str:
    """A length of time, given as such or in seconds, by its two largest units:
    "250 ms", "1.2 s", "3 min 5 s", "2 d 4 h". What is negative, as clocks differ,
    counts as nothing.
    """
    if isinstance(length, timedelta):
        length = length.total_seconds()
    milliseconds = max(0, round(length * 1000))
    if milliseconds < 1000:
        return _("%(count)d ms") % {"count": milliseconds}
    tenths = round(length * 10)
    if tenths < 100:
        return _("%(count)s s") % {"count": number_format(tenths / 10, 1)}
    seconds = round(length)
    if seconds < _MINUTE:
        return _("%(count)s s") % {"count": seconds}
    if seconds < _HOUR:
        return _two(_("%(count)d min"), _("%(count)s s"), *divmod(seconds, _MINUTE))
    minutes = round(length / _MINUTE)
    if minutes * _MINUTE < _DAY:
        return _two(_("%(count)d h"), _("%(count)d min"), *divmod(minutes, 60))
    hours = round(length / _HOUR)
    return _two(_("%(count)d d"), _("%(count)d h"), *divmod(hours, 24))


def time_apart(moment: datetime, now: datetime) -> str:
    """How far a time lies from now: "2 d 4 h ago", "in 3 min 5 s"."""
    if moment > now:
        return _("in %(time)s") % {"time": in_words(moment - now)}
    return _("%(time)s ago") % {"time": in_words(now - moment)}


def _two(large: str, small: str, count: int, rest: int) -> str:
    text = large % {"count": count}
    return text if not rest else f"{text} {small % {'count': rest}}"
