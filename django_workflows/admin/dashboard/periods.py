"""The periods that the dashboard looks back over, and the parts they are cut into."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.timezone import get_current_timezone, localtime
from django.utils.translation import gettext, gettext_lazy

from django_workflows.admin.dashboard.charts import Column

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """So many equal parts up to now; the last of them is not over yet."""

    #: Its value in the page's address.
    key: str
    label: str | Promise
    part: timedelta
    parts: int

    def edges(self, now: datetime) -> list[datetime]:
        """Where the parts begin, by the clock on the wall here, and where the last one
        ends."""
        wall = localtime(now).replace(tzinfo=None)
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        begun = wall - (wall - midnight) % self.part
        numbers = range(1 - self.parts, 2)
        if self.part <= _HOUR:
            # An hour that the clock shows twice, or never, is as long as any other.
            last = now - (wall - begun)
            return [last + self.part * number for number in numbers]
        zone = get_current_timezone()
        walls = (begun + self.part * number for number in numbers)
        return [each.replace(tzinfo=zone) for each in walls]

    def columns(self, edges: list[datetime]) -> list[Column]:
        """The parts for a chart."""
        begins = [localtime(begin) for begin in edges[:-1]]
        # Translators: a day without its year, as a format of Django's filter `date`.
        written = gettext("M j")
        days = {each: date_format(each, written) for each in {b.date() for b in begins}}
        return [self._column(begin, days[begin.date()]) for begin in begins]

    def _column(self, begin: datetime, day: str) -> Column:
        if self.part >= _DAY:
            return Column(day, day)
        clock = f"{begin:%H:%M}"
        is_long = self.parts * self.part > _DAY
        return Column(day if is_long else clock, f"{day}, {clock}")


#: Shortest first.
PERIODS = (
    Period("1h", gettext_lazy("1 hour"), timedelta(minutes=1), 60),
    Period("1d", gettext_lazy("24 hours"), _HOUR, 24),
    Period("7d", gettext_lazy("7 days"), 6 * _HOUR, 28),
    Period("30d", gettext_lazy("30 days"), _DAY, 30),
)
_BY_KEY = {period.key: period for period in PERIODS}


def period_of(key: str | None) -> Period:
    """The period of this key; 24 hours for any other text."""
    return _BY_KEY.get(key or "", _BY_KEY["1d"])
