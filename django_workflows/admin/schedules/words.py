"""When schedules start something, in words."""

from __future__ import annotations

from django.utils import timezone
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext as _

from django_workflows.admin.schedules.times import clock
from django_workflows.core.durations import to_text
from django_workflows.models import Schedule

_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def when(schedule: Schedule) -> str:
    """When it starts something: "every day, at 02:30 (Europe/Berlin)"."""
    if schedule.cron is not None:
        return f"{cron_in_words(schedule.cron)} ({schedule.timezone})"
    if schedule.interval is not None:
        text = _("every %(length)s") % {"length": to_text(schedule.interval)}
        if schedule.offset:
            length = to_text(schedule.offset)
            text += ", " + _("moved by %(length)s") % {"length": length}
        return text
    if schedule.at is None:
        return _("never: nothing says when")
    return _("once: %(time)s") % {"time": clock(timezone.localtime(schedule.at))}


def cron_in_words(expression: str) -> str:
    """A cron expression as people say it; what is not simple stays as it is."""
    fields = expression.upper().split()
    if len(fields) != 5:
        return f"cron {expression}"
    minute, hour, day, month, weekday = fields
    times = _times(minute, hour)
    days = _days(day, month, weekday)
    if times is None or days is None:
        return f"cron {expression}"
    return f"{days}, {times}"


def _times(minute: str, hour: str) -> str | None:
    if _is_number(minute) and _is_number(hour):
        return _("at %(time)s") % {"time": f"{int(hour):02}:{int(minute):02}"}
    if _is_number(minute) and hour == "*":
        return _("every hour at minute %(minute)d") % {"minute": int(minute)}
    if hour == "*" and minute == "*":
        return _("every minute")
    step = minute.removeprefix("*/")
    if hour == "*" and minute != step and _is_number(step) and 60 % int(step) == 0:
        return _("every %(length)s") % {"length": to_text(int(step) * 60)}
    return None


def _days(day: str, month: str, weekday: str) -> str | None:
    if month != "*":
        return None
    if day == weekday == "*":
        return _("every day")
    if weekday == "*" and _is_number(day):
        return _("on day %(day)d of each month") % {"day": int(day)}
    if day == "*":
        return _weekdays(weekday)
    return None


def _weekdays(text: str) -> str | None:
    parts = []
    for part in text.split(","):
        names = [_weekday(name) for name in part.split("-")]
        if None in names or len(names) > 2:
            return None
        parts.append(_(" to ").join(map(str, names)))
    return ", ".join(parts)


def _weekday(text: str) -> str | None:
    if text in _NAMES:
        number = _NAMES.index(text)
    elif _is_number(text) and int(text) <= 7:
        number = int(text)
    else:
        return None
    # Cron's week begins with Sunday, and Django's with Monday.
    return str(WEEKDAYS[(number - 1) % 7])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
