"""Dates, times, lengths of time and zones."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder
from django_workflows.core.serialization.format import TAG, Node
from django_workflows.core.serialization.registry import (
    UnsupportedError,
    decodes,
    encodes,
)
from django_workflows.errors import UnknownCodeError


def _clock_node(
    encoder: Encoder, tag: str, value: datetime | time, depth: int
) -> dict[str, Node]:
    """A date with a time, or a time; UTC is part of the text, other zones are not."""
    node: dict[str, Node] = {TAG: tag}
    zone = value.tzinfo
    if zone is not None and type(zone) is _pydantic_zone():
        # What pydantic reads has fixed offsets of a class of its own.
        zone = timezone(zone.utcoffset(None) or timedelta())
        value = value.replace(tzinfo=zone)
    if zone is None or zone is UTC:
        node["v"] = value.isoformat()
    else:
        node["v"] = value.replace(tzinfo=None).isoformat()
        try:
            node["zone"] = encoder.encode(zone, depth + 1)
        except UnsupportedError as error:
            raise error.under(".tzinfo") from error.__cause__
    if value.fold:
        node["fold"] = 1
    return node


def _pydantic_zone() -> Any:
    # Who has an instance has imported its module.
    return getattr(sys.modules.get("pydantic_core"), "TzInfo", tzinfo)


@encodes(datetime)
def _encode_datetime(encoder: Encoder, value: datetime, depth: int) -> Node:
    return _clock_node(encoder, "datetime", value, depth)


@decodes("datetime")
def _decode_datetime(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> datetime:
    value = datetime.fromisoformat(node["v"])
    if "zone" in node:
        value = value.replace(tzinfo=_zone(decoder, node["zone"]))
    return value.replace(fold=1) if "fold" in node else value


@encodes(time)
def _encode_time(encoder: Encoder, value: time, depth: int) -> Node:
    return _clock_node(encoder, "time", value, depth)


@decodes("time")
def _decode_time(decoder: Decoder, node: dict[str, Any], number: int | None) -> time:
    value = time.fromisoformat(node["v"])
    if "zone" in node:
        value = value.replace(tzinfo=_zone(decoder, node["zone"]))
    return value.replace(fold=1) if "fold" in node else value


@encodes(date)
def _encode_date(encoder: Encoder, value: date, depth: int) -> Node:
    return {TAG: "date", "v": value.isoformat()}


@decodes("date")
def _decode_date(decoder: Decoder, node: dict[str, Any], number: int | None) -> date:
    return date.fromisoformat(node["v"])


@encodes(timedelta)
def _encode_timedelta(encoder: Encoder, value: timedelta, depth: int) -> Node:
    return {TAG: "timedelta", "v": [value.days, value.seconds, value.microseconds]}


@decodes("timedelta")
def _decode_timedelta(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> timedelta:
    return timedelta(*node["v"])


@encodes(ZoneInfo)
def _encode_zone(encoder: Encoder, value: ZoneInfo, depth: int) -> Node:
    if value.key is None:
        raise UnsupportedError("a ZoneInfo without a key", "make it with ZoneInfo(key)")
    return {TAG: "zone", "v": value.key}


@decodes("zone")
def _decode_zone(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> ZoneInfo:
    try:
        return ZoneInfo(node["v"])
    except ZoneInfoNotFoundError as error:
        raise UnknownCodeError(
            f"a payload needs the time zone {node['v']}, which is not installed"
        ) from error


@encodes(timezone)
def _encode_offset(encoder: Encoder, value: timezone, depth: int) -> Node:
    offset, name = value.utcoffset(None), value.tzname(None)
    node = {TAG: "offset", "v": [offset.days, offset.seconds, offset.microseconds]}
    if name != timezone(offset).tzname(None):
        node["name"] = name
    return node


@decodes("offset")
def _decode_offset(
    decoder: Decoder, node: dict[str, Any], number: int | None
) -> timezone:
    offset = timedelta(*node["v"])
    return timezone(offset, node["name"]) if "name" in node else timezone(offset)


def _zone(decoder: Decoder, node: Node) -> tzinfo:
    zone = decoder.decode(node)
    if not isinstance(zone, tzinfo):
        raise TypeError("that is no time zone")
    return zone
