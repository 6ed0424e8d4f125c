"""Every type of the standard library comes back exactly."""

from __future__ import annotations

import ipaddress
import math
import pathlib
import re
import sys
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.serialization import (
    canonical,
    dumps,
    dumps_call,
    loads,
    loads_call,
    to_plain,
)
from tests.core.serialization.shapes import (
    Bits,
    Box,
    Colour,
    Key,
    Level,
    OldPoint,
    Point,
    Right,
    Word,
    describe,
)

BERLIN = ZoneInfo("Europe/Berlin")


def _with_default(items: dict[str, Any]) -> defaultdict[str, Any]:
    return defaultdict(list, items)


any_text = st.text(st.characters(categories=None, codec=None))
zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.sampled_from(sorted(available_timezones())).map(ZoneInfo),
    st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23))),
    st.builds(
        timezone,
        st.timedeltas(timedelta(hours=-23), timedelta(hours=23)),
        st.text(max_size=5),
    ),
)
huge_ints = st.builds(
    lambda sign, exponent, rest: sign * (10**exponent + rest),
    st.sampled_from([1, -1]),
    st.integers(500, 6000),
    st.integers(0, 10**30),
)
atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    huge_ints,
    st.floats(),
    any_text,
    st.binary(),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
    st.uuids(),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.dates(),
    st.times(timezones=st.sampled_from([None, UTC, BERLIN])),
    st.timedeltas(),
    st.ip_addresses(),
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
    st.builds(pathlib.PurePosixPath, st.text(st.characters(categories=["L"]))),
    st.sampled_from([*Colour, *Level, *Word, *Right, Bits.A | Bits.B, Bits(0)]),
)
# What equal keys make of each other is not the subject, so no NaN and no 1 == 1.0.
hashables = st.recursive(
    st.one_of(st.none(), any_text, st.binary(), st.uuids(), st.dates()),
    lambda inner: st.one_of(
        st.tuples(inner, inner),
        st.frozensets(inner, max_size=3),
        st.builds(lambda *parts: Key(*parts), inner, inner),
        st.builds(lambda x: Point(x), inner),
    ),
    max_leaves=6,
)
values: st.SearchStrategy[Any] = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashables, inner, max_size=4),
        st.dictionaries(any_text, inner, max_size=4).map(OrderedDict),
        st.dictionaries(any_text, inner, max_size=4).map(
            lambda d: defaultdict(list, d)
        ),
        st.dictionaries(hashables, st.integers(), max_size=4).map(Counter),
        st.sets(hashables, max_size=4),
        st.frozensets(hashables, max_size=4),
        st.builds(lambda items: deque(items, maxlen=5), st.lists(inner, max_size=4)),
        st.binary().map(bytearray),
        inner.map(lambda x: Box(x)),
        st.builds(lambda *parts: Point(*parts), inner, inner),
        st.builds(lambda *parts: OldPoint(*parts), inner, inner),
        st.builds(slice, st.none() | st.integers(), inner),
        st.builds(ValueError, any_text, inner),
    ),
    max_leaves=12,
)


@given(values)
def test_any_value_comes_back_exactly(value: Any) -> None:
    data = dumps(value)
    back = loads(data)
    assert describe(back) == describe(value)
    assert dumps(back) == data
    assert canonical(dumps(back)) == canonical(data)
    to_plain(data)


@given(st.lists(values, max_size=3), st.dictionaries(any_text, values, max_size=3))
def test_any_call_comes_back_exactly(args: list[Any], kwargs: dict[str, Any]) -> None:
    data = dumps_call(tuple(args), kwargs)
    assert describe(loads_call(data)) == describe((tuple(args), kwargs))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63) - 1,
        10**700,
        -(10**50_000),
        1e22,
        -0.0,
        math.inf,
        -math.inf,
        math.nan,
        5e-324,
        sys.float_info.max,
        "",
        "\x00 \x7f \x85 \u2028 \U0001f600",
        "\ud800",
        "\ud83d\ude00",  # two lone surrogates, not the one character they look like
        "$",
        {"$": "ref", "v": 1},
        {"$": 1},
        {"\ud83d\ude00": "\x00"},
        b"",
        bytes(range(256)),
        bytearray(b"\x00\xff"),
        (),
        ((), []),
        [[], {}, (), set(), frozenset()],
        {1: "int", "1": "str", None: "none", (1, (2,)): 3, b"x": 4, 2.5: 5},
        {True: 1, 0: 2},
        {frozenset({1, 2}): {3}},
        {"z": 1, "a": 2},
        Decimal("1.10"),
        Decimal("-0"),
        Decimal("1E+999999"),
        Decimal("sNaN123"),
        Decimal("-Infinity"),
        Fraction(10**5000, 3),
        complex(-0.0, math.nan),
        complex(math.inf, -0.0),
        uuid.UUID(int=2**127 + 1),
        datetime.min,
        datetime.max.replace(tzinfo=UTC),
        datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
        datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
        datetime(2024, 1, 1, tzinfo=UTC, fold=1),
        datetime(2024, 1, 1, fold=1),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(seconds=-1, microseconds=5))),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2), "MESZ")),
        date.max,
        time(23, 59, 59, 999999, fold=1),
        time(1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        timedelta.max,
        timedelta.min,
        timedelta(microseconds=-1),
        BERLIN,
        UTC,
        re.compile("a.b", re.IGNORECASE | re.DOTALL),
        re.compile(b"\xff+", re.LOCALE),
        re.compile("(?x) a # b"),
        pathlib.Path("a/../b"),
        pathlib.PureWindowsPath("C:\\x y"),
        range(10**30, 0, -7),
        slice(None, 3),
        slice("a", (1, [2]), None),
        ipaddress.ip_address("::1"),
        ipaddress.ip_address("fe80::1%eth0"),
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_interface("10.0.0.7/8"),
        ipaddress.ip_network("2001:db8::/32"),
        ipaddress.ip_interface("2001:db8::7/32"),
        deque([1, [2]], maxlen=2),
        deque(),
        OrderedDict([("b", 1), ("a", [2])]),
        OrderedDict([(2, 1)]),
        defaultdict(list, {"a": [1]}),
        defaultdict(None, {1: 2}),
        Counter("abca"),
        Counter({(1, 2): -3}),
        Right.READ | Right.OWN,
        Right(0),
        Colour.ROUGE,
        Box.Inner.A,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_notable_value_comes_back_exactly(value: Any) -> None:
    assert describe(loads(dumps(value))) == describe(value)
    assert describe(loads(dumps([value, {"k": value}]))) == describe(
        [value, {"k": value}]
    )


def test_enum_members_come_back_as_themselves() -> None:
    for member in (Colour.RED, Level.HIGH, Word.YES, Right.BOTH, Bits.A | Bits.B):
        assert loads(dumps(member)) is member


def test_dicts_keep_their_order() -> None:
    value = {"z": 1, "a": {3: 1, 2: 2, "x": 3}}
    back = loads(dumps(value))
    assert list(back) == ["z", "a"]
    assert list(back["a"]) == [3, 2, "x"]


def test_sets_are_written_in_one_order() -> None:
    members = [*range(50), *map(str, range(50)), (1, 2), Key("a"), frozenset({1})]
    backwards = members[::-1]
    assert dumps(set(members)) == dumps(set(backwards))
    assert dumps(frozenset(members)) == dumps(frozenset(backwards))


def test_memoryviews_of_the_bytes_can_be_read() -> None:
    data = dumps({"a": (1, 2)})
    assert loads(memoryview(data)) == {"a": (1, 2)}  # type: ignore[arg-type]


def test_a_path_of_the_other_system_comes_back_without_its_files() -> None:
    data = dumps(pathlib.PurePosixPath("a")).replace(b"PurePosixPath", b"WindowsPath")
    assert loads(data) == pathlib.PureWindowsPath("a")


def test_plain_values_are_plain_json() -> None:
    assert (
        dumps({"i": 3, "t": [1.5, "é", None]}) == '{"i":3,"t":[1.5,"é",null]}'.encode()
    )
    assert dumps_call((3,), {"a": True}) == b'[[3],{"a":true}]'
