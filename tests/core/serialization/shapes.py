"""Classes and functions that the tests of this directory pass around."""

from __future__ import annotations

import enum
import functools
import struct
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime, time, timezone
from decimal import Decimal
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

import pydantic


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"
    ROUGE = RED


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3
    OWN = 4


class Bits(enum.IntFlag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: Any
    y: Any = 0


OldPoint = namedtuple("OldPoint", "x y", defaults=[7])  # noqa: PYI024


@dataclass
class Box:
    content: Any = None
    label: str = "box"
    lid: list[Any] = field(default_factory=list, init=False)

    class Inner(enum.Enum):
        A = 1

    @functools.cached_property
    def size(self) -> int:
        return 7


@dataclass
class Crate(Box):
    weight: float = 0.0

    def __post_init__(self) -> None:
        self.opened = 0


@dataclass(frozen=True, slots=True)
class Key:
    name: Any
    part: Any = None


@dataclass(eq=False)
class Node:
    name: str
    links: Any = None


class Address(pydantic.BaseModel):
    street: str
    number: int | None = None


class Customer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", arbitrary_types_allowed=True)
    name: str = pydantic.Field(alias="fullName")
    home: Address
    tags: set[str] = pydantic.Field(default_factory=set)
    anything: Any = None
    _secret: int = pydantic.PrivateAttr(default=3)


class Ids(pydantic.RootModel[list[int]]):
    pass


class Frozen(pydantic.BaseModel, frozen=True):
    value: int


class Money:
    """Has the two class methods."""

    decoded_from: list[Any] = []

    def __init__(self, amount: int, currency: str, note: Any = None) -> None:
        self.amount, self.currency, self.note = amount, currency, note

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((self.amount, self.currency))

    def __workflow_encode__(self) -> Any:
        return {"amount": self.amount, "in": (self.currency, self.note)}

    @classmethod
    def __workflow_decode__(cls, data: Any) -> Money:
        return cls(data["amount"], *data["in"])


class Plain:
    """Has nothing."""


class Odd(Exception):
    """Takes other arguments than it passes on, and keeps some in slots."""

    __slots__ = ("slotted",)

    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(f"odd {code}")
        self.code = code
        self.hint = hint
        self.slotted = (code, hint)


class Batch(ExceptionGroup[Exception]):
    """The documented way to subclass a group."""

    code: int

    def __new__(cls, errors: list[Exception], code: int) -> Self:
        self = super().__new__(cls, "batch", errors)
        self.code = code
        return self

    def __init__(self, errors: list[Exception], code: int) -> None:
        super().__init__(errors, code)  # type: ignore[arg-type]


class Mute(Exception):
    """Neither its text nor its representation can be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Text(str):
    pass


called: list[str] = []


def trap(*args: Any, **kwargs: Any) -> None:
    """Must never be called by decoding."""
    called.append("trap")


class Trap:
    def __init__(self, *args: Any) -> None:
        called.append("Trap")


def describe(value: Any) -> Any:
    """A description of ``value`` that is equal exactly for values of one worth."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind is float:
        return name, "nan" if value != value else struct.pack(">d", value)
    if kind is complex:
        return name, describe(value.real), describe(value.imag)
    if kind is Decimal:
        return name, value.as_tuple()
    if kind in (datetime, time):
        zone = value.tzinfo
        return name, value.replace(tzinfo=None).isoformat(), value.fold, describe(zone)
    if kind is timezone:
        return name, value.utcoffset(None), value.tzname(None)
    if kind is ZoneInfo:
        return name, value.key
    if kind is deque:
        return name, value.maxlen, [describe(item) for item in value]
    if kind in (set, frozenset):
        return name, sorted(map(describe, value), key=repr)
    if kind in (dict, OrderedDict, Counter, defaultdict):
        factory = value.default_factory if kind is defaultdict else None
        pairs = [(describe(key), describe(item)) for key, item in value.items()]
        return name, factory, pairs
    if isinstance(value, list | tuple):
        return name, [describe(item) for item in value]
    if isinstance(value, BaseException):
        return name, describe(value.args), describe(vars(value))
    if is_dataclass(value):
        parts = [(item.name, getattr(value, item.name)) for item in fields(value)]
        return name, describe(parts)
    if isinstance(value, slice):
        return name, describe((value.start, value.stop, value.step))
    return name, value
