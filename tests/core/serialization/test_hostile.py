"""Nothing from outside becomes anything but plain data, and nothing is called."""

from __future__ import annotations

import contextlib
import json
from typing import Any

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
from django_workflows.core.serialization.registry import decoders
from django_workflows.errors import SerializationError, UnknownCodeError, WorkflowError
from tests.core.serialization import shapes

SHAPES = shapes.__name__
EVERY_TAG = sorted(decoders)
NAMES = [f"{SHAPES}:trap", f"{SHAPES}:Trap", "os:system"]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-100, 100)
    | st.sampled_from(
        [*EVERY_TAG, "$", f"{SHAPES}:trap", f"{SHAPES}:Trap", "os:system"]
    )
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$", "v", "t", "id", "d", "args", "message", "dtype"]),
            inner,
            max_size=4,
        )
        | st.fixed_dictionaries(
            {"$": st.sampled_from(EVERY_TAG), "v": inner},
            optional={"t": inner, "id": inner, "args": inner},
        )
    ),
    max_leaves=10,
)


@given(json_values)
def test_json_from_outside_stays_what_it_is(outside: Any) -> None:
    value = json.loads(json.dumps(outside))
    assert loads(dumps(value)) == value
    assert loads_call(dumps_call((value,), {"$": value})) == ((value,), {"$": value})
    assert json.dumps(loads(dumps([{"a": value}]))) == json.dumps([{"a": value}])


@given(json_values)
def test_damaged_payloads_raise_errors_of_the_package_only(damaged: Any) -> None:
    data = json.dumps(damaged).encode()
    for read in (loads, loads_call):
        with contextlib.suppress(WorkflowError):
            read(data)
    assert shapes.called == []


@given(st.binary())
def test_random_bytes_raise_errors_of_the_package_only(data: bytes) -> None:
    for read in (loads, loads_call, canonical, to_plain):
        with contextlib.suppress(SerializationError):
            read(data)


@pytest.mark.parametrize(
    "tag",
    ["enum", "flag", "namedtuple", "dataclass", "pydantic", "exception",
     "exceptiongroup", "object", "type"],
)  # fmt: skip
@pytest.mark.parametrize(
    "name",
    [
        f"{SHAPES}:trap",
        f"{SHAPES}:Trap",
        f"{SHAPES}:Trap.__init__",
        f"{SHAPES}:Plain",
        f"{SHAPES}:Money.__workflow_decode__",
        "os:system",
        "builtins:eval",
        "builtins:int",
        "builtins:dict",
        "subprocess:Popen",
        "collections:namedtuple",
        "no.such.module:X",
        ":",
        "",
        "os:",
        "..relative:x",
    ],
)
def test_a_name_never_leads_to_a_call(tag: str, name: str) -> None:
    node = {
        "$": tag, "t": name, "v": {}, "args": ["echo"], "set": [], "message": "m",
    }  # fmt: skip
    with pytest.raises((SerializationError, UnknownCodeError)):
        loads(json.dumps(node).encode())
    assert shapes.called == []


def test_decoding_an_exception_or_dataclass_runs_none_of_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd, box = dumps(shapes.Odd(1, hint="h")), dumps(shapes.Crate(1))
    monkeypatch.setattr(shapes.Odd, "__init__", shapes.trap)
    monkeypatch.setattr(shapes.Odd, "__new__", shapes.trap)
    monkeypatch.setattr(shapes.Crate, "__init__", shapes.trap)
    monkeypatch.setattr(shapes.Crate, "__post_init__", shapes.trap)
    assert loads(odd).hint == "h"
    assert loads(box).content == 1
    assert shapes.called == []


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[1,]", b"nul", b"1 2", b"\xff", b"\x00", b"[" * 100_000,
        b'{"$":"tuple"}', b'{"$":"tuple","v":3}', b'{"$":"decimal","v":"x"}',
        b'{"$":"ref","v":1}', b'{"$":"ref","v":[]}', b'{"$":"def","v":1}',
        b'{"$":"bytes","v":"*"}', b'{"$":"datetime","v":1}', b'{"$":"int","v":"x"}',
        b'{"$":"set","v":[[1]]}', b'{"$":"zone","v":"../../etc/passwd"}',
        b'{"$":"pattern","v":"(","flags":0}', b'{"$":"ip","t":"eval","v":"1"}',
        b'{"$":"path","t":"open","v":"x"}', b'{"$":"range","v":[1,2,0]}',
        b'{"$":"defaultdict","factory":"eval","v":[]}', b'{"$":"fraction","v":[1,0]}',
        b'{"$":"model","v":[]}', b'{"$":"deque","maxlen":-1,"v":[]}',
        b'{"$":"timedelta","v":[1e99]}', b'{"$":"offset","v":[9,9,9]}',
    ],
)  # fmt: skip
def test_damaged_data_is_told_so(data: bytes) -> None:
    with pytest.raises(SerializationError):
        loads(data)


@pytest.mark.parametrize("data", [b'{"$":"future","v":1}', b'{"$":[]}', b'{"$":null}'])
def test_an_unknown_tag_is_unknown_code(data: bytes) -> None:
    with pytest.raises(UnknownCodeError, match="unknown tag"):
        loads(data)


@pytest.mark.parametrize(
    "data", [b"[]", b"[[],[]]", b"{}", b'[{"a":1},{}]', b"[[],{},1]", b"1"]
)
def test_what_are_no_arguments_is_told_so(data: bytes) -> None:
    with pytest.raises(SerializationError, match="no arguments"):
        loads_call(data)
