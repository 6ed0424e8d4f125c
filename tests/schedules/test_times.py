"""Next times against an independent look at every minute there is."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_workflows.core.ticks import Interval, parse_cron

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Africa/Cairo",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Chatham",
)
MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
IS_LONG = settings().max_examples > 1000


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def listed(
    expression: str, zone: str, begin: datetime, end: datetime
) -> list[datetime]:
    """What `Cron` says from begin to end, in UTC."""
    cron = parse_cron(expression, zone)
    found, at = [], us(begin) - 1
    while (next_us := cron.after(at)) is not None and next_us <= us(end):
        assert next_us > at
        found.append(EPOCH + timedelta(microseconds=next_us))
        at = next_us
    return found


def field(text: str, low: int, high: int) -> set[int]:
    """The numbers that a field stands for, by a reading of its own."""
    numbers: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = map(int, span.split("-"))
        else:
            first = int(span)
            last = high if step else first
        numbers |= set(range(first, last + 1, int(step or 1)))
    return numbers


def every_minute(
    expression: str, zone_name: str, begin: datetime, end: datetime
) -> list[datetime]:
    """The rules of the documentation, applied to each minute from begin to end."""
    texts = expression.split()
    minutes, hours = field(texts[0], 0, 59), field(texts[1], 0, 23)
    days, months = field(texts[2], 1, 31), field(texts[3], 1, 12)
    weekdays = {day % 7 for day in field(texts[4], 0, 7)}
    joined_by_and = texts[2].startswith("*") or texts[4].startswith("*")

    def matches(shown: datetime) -> bool:
        by_month = shown.day in days
        by_week = shown.isoweekday() % 7 in weekdays
        by_day = (by_month and by_week) if joined_by_and else (by_month or by_week)
        return (
            shown.minute in minutes
            and shown.hour in hours
            and shown.month in months
            and by_day
        )

    zone, any_hour = ZoneInfo(zone_name), texts[1].startswith("*")
    found: list[datetime] = []
    # What clocks have shown before `begin` counts, if it comes again.
    moment = begin - timedelta(hours=3)
    latest = (moment - MINUTE).astimezone(zone).replace(tzinfo=None)
    while moment <= end:
        shown = moment.astimezone(zone).replace(tzinfo=None)
        if any_hour:
            is_due = matches(shown)
        else:
            # All that clocks show for the first time, or have jumped over.
            new = latest + MINUTE
            is_due = False
            while new <= shown:
                is_due = is_due or matches(new)
                new += MINUTE
            latest = max(latest, shown)
        if is_due and moment >= begin:
            found.append(moment)
        moment += MINUTE
    return found


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: "{}-{}".format(*sorted(pair)))
    step = st.integers(1, high)
    part = st.one_of(
        st.just("*"),
        number.map(str),
        span,
        st.tuples(st.one_of(st.just("*"), span), step).map("{0[0]}/{0[1]}".format),
    )
    return st.one_of(part, st.lists(part, min_size=1, max_size=3).map(",".join))


# A star in the middle of a list is no star to cron, and means all the same.
expressions = st.tuples(
    fields(0, 59), fields(0, 23), fields(1, 28), fields(1, 12), fields(0, 7)
).map(" ".join)
zones = st.sampled_from(ZONES)


def changes(zone_name: str) -> list[datetime]:
    """The hours of ten years before which clocks are set."""
    zone, found = ZoneInfo(zone_name), []
    moment = datetime(2021, 1, 1, tzinfo=UTC)
    offset = moment.astimezone(zone).utcoffset()
    while moment.year < 2031:
        moment += timedelta(hours=1)
        if (now := moment.astimezone(zone).utcoffset()) != offset:
            found.append(moment)
            offset = now
    return found


@pytest.mark.parametrize("zone", ZONES)
@given(data=st.data(), expression=expressions)
@settings(max_examples=settings().max_examples // 33)
def test_next_times_around_the_days_on_which_clocks_are_set(
    zone: str, data: st.DataObject, expression: str
) -> None:
    set_at = data.draw(
        st.sampled_from(changes(zone) or [datetime(2026, 3, 29, tzinfo=UTC)])
    )
    begin, end = set_at - timedelta(hours=15), set_at + timedelta(hours=15)
    assert listed(expression, zone, begin, end) == every_minute(
        expression, zone, begin, end
    )


@given(expression=expressions, zone=zones, offset=st.integers(0, 3652 * 1440))
@example("0 */3 * * *", "Australia/Lord_Howe", 391 * 1440)
@example("30 2 29 2 *", "Europe/Berlin", 0)
@example("0 3-3/2 * * 0-0/1", "UTC", 0)
@settings(max_examples=settings().max_examples // 4)
def test_next_times_of_any_days(expression: str, zone: str, offset: int) -> None:
    begin = datetime(2021, 1, 1, tzinfo=UTC) + offset * MINUTE
    end = begin + timedelta(days=4)
    assert listed(expression, zone, begin, end) == every_minute(
        expression, zone, begin, end
    )


@pytest.mark.parametrize("zone", ZONES if IS_LONG else ("Europe/Berlin",))
@pytest.mark.parametrize(
    "expression",
    ["30 2 * * *", "15 */2 * * 1-5"][: 2 if IS_LONG else 1],
)
def test_ten_years(expression: str, zone: str) -> None:
    years = 10 if IS_LONG else 1
    begin = datetime(2021, 1, 1, tzinfo=UTC)
    end = begin.replace(year=2021 + years)
    assert listed(expression, zone, begin, end) == every_minute(
        expression, zone, begin, end
    )


HOURLY = [f"{hour:02}:30" for hour in range(24)]


def in_utc(day: str, *times: str) -> list[datetime]:
    return [datetime.fromisoformat(f"{day}T{time}+00:00") for time in times]


@pytest.mark.parametrize(
    ("zone", "expression", "day", "expected"),
    [
        # Clocks go from 2:00 to 3:00 at 1:00 UTC.
        ("Europe/Berlin", "30 2 * * *", "2026-03-29", ["01:00"]),
        ("Europe/Berlin", "0,30 2 * * *", "2026-03-29", ["01:00"]),
        ("Europe/Berlin", "0 3 * * *", "2026-03-29", ["01:00"]),
        ("Europe/Berlin", "30 * * * *", "2026-03-29", HOURLY),
        ("Europe/Berlin", "*/30 2-3 * * *", "2026-03-29", ["01:00", "01:30"]),
        ("Europe/Berlin", "0 9 * * *", "2026-03-29", ["07:00"]),
        # Clocks go from 3:00 back to 2:00 at 1:00 UTC.
        ("Europe/Berlin", "30 2 * * *", "2026-10-25", ["00:30"]),
        ("Europe/Berlin", "*/30 2 * * *", "2026-10-25", ["00:00", "00:30"]),
        ("Europe/Berlin", "30 * * * *", "2026-10-25", HOURLY),
        ("America/New_York", "30 2 * * *", "2026-03-08", ["07:00"]),
        ("America/New_York", "30 1 * * *", "2026-11-01", ["05:30"]),
        # Half an hour: from 2:00 to 2:30, and back from 2:00 to 1:30.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03", ["15:30"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04", ["14:45"]),
        ("Australia/Lord_Howe", "45 * 5 4 *", "2026-04-04", [
            "13:45", "14:45", "15:15", *[f"{h}:15" for h in range(16, 24)]]),
        # Midnight is skipped.
        ("Asia/Beirut", "0 0 * * *", "2026-03-28", ["22:00"]),
        ("Asia/Beirut", "30 0 * * *", "2026-03-28", ["22:00"]),
    ],
)  # fmt: skip
def test_days_on_which_clocks_are_set(
    zone: str, expression: str, day: str, expected: list[str]
) -> None:
    begin, end = in_utc(day, "00:00", "23:59:59")
    assert listed(expression, zone, begin, end) == in_utc(day, *expected)


def test_day_of_month_or_day_of_week() -> None:
    begin, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
    fridays_and_the_13th = {
        day
        for day in range(1, 32)
        if day == 13 or calendar.weekday(2026, 3, day) == calendar.FRIDAY
    }
    found = listed("0 0 13 * 5", "UTC", begin, end)
    assert {moment.day for moment in found} == fridays_and_the_13th


def test_an_expression_may_come_round_in_many_years() -> None:
    leap_days = listed(
        "0 0 29 2 *",
        "UTC",
        datetime(2097, 1, 1, tzinfo=UTC),
        datetime(2109, 1, 1, tzinfo=UTC),
    )
    assert [day.year for day in leap_days] == [2104, 2108]


@given(
    every=st.integers(1, 10**12),
    offset=st.integers(0, 10**12),
    at=st.integers(0, 2**52),
)
def test_intervals_are_aligned_to_the_epoch(every: int, offset: int, at: int) -> None:
    found = Interval(every, offset).after(at)
    assert found is not None
    assert at < found <= at + every
    assert (found - offset) % every == 0


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("* * * *", "UTC"),
        ("0 * * * * *", "UTC"),
        ("61 * * * *", "UTC"),
        ("0 0 31 2 *", "UTC"),
        ("@daily", "UTC"),
        ("", "UTC"),
        ("0 0 * * *", "Mars/Base"),
        ("0 0 * * *", ""),
        ("0 0 * * *", "../etc/passwd"),
        ("0 0 * * *", "Europe"),
    ],
)
def test_nonsense_is_refused(expression: str, zone: str) -> None:
    with pytest.raises(ValueError, match=r"cron expression|time zone"):
        parse_cron(expression, zone)
