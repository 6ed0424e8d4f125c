"""numpy's scalars and arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from django_workflows.core.serialization import canonical, dumps, loads, to_plain
from django_workflows.errors import SerializationError, UnknownCodeError

DTYPES = st.one_of(
    npst.scalar_dtypes(),
    npst.unicode_string_dtypes(),
    npst.byte_string_dtypes(),
    npst.array_dtypes(),
)


def _same(first: Any, second: Any) -> bool:
    return (
        type(first) is type(second)
        and first.dtype == second.dtype
        and first.shape == second.shape
        and first.tobytes() == second.tobytes()
    )


@given(npst.arrays(DTYPES, npst.array_shapes(min_dims=0, min_side=0)))
def test_any_array_comes_back_exactly(array: Any) -> None:
    back = loads(dumps(array))
    assert _same(back, array)
    assert back.flags.writeable
    assert back.flags.fnc == array.flags.fnc
    to_plain(dumps(array))


@given(npst.arrays(npst.scalar_dtypes(), 1))
def test_any_scalar_comes_back_exactly(array: Any) -> None:
    assert _same(loads(dumps(array[0])), array[0])


@pytest.mark.parametrize(
    "value",
    [
        np.float64("nan"),
        np.float32(-0.0),
        np.longdouble("1.1"),
        np.bool_(True),
        np.int64(-1),
        np.str_("é\x00x"),
        np.datetime64("2024-01-01T00:00:01.5", "ms"),
        np.datetime64("NaT", "s"),
        np.timedelta64(5, "D"),
        np.complex128(complex(-0.0, float("inf"))),
        np.array([(1, b"a")], dtype=[("x", ">i4"), ("y", "S3")])[0],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::2],
        np.empty((0, 3)),
        np.array(5),
        np.array([[(1, [1.5, 2])]], dtype=[(("title", "x"), "i2"), ("z", "f8", (2,))]),
        np.zeros(2, dtype={"names": ["a"], "formats": ["i4"], "itemsize": 16}),
    ],
    ids=lambda value: str(value.dtype),
)
def test_a_notable_value_comes_back_exactly(value: Any) -> None:
    back = loads(dumps([value]))[0]
    assert _same(back, value)


def test_text_scalars_keep_their_nuls() -> None:
    for value in (np.str_("x\x00"), np.str_(""), np.bytes_(b"x\x00"), np.bytes_(b"")):
        back = loads(dumps(value))
        assert type(back) is type(value)
        assert (back, len(back)) == (value, len(value))


def test_arrays_of_objects_hold_any_value() -> None:
    array = np.empty((2, 2), object)
    array[0, 0], array[0, 1], array[1, 0] = {"a": (1,)}, array, [1, 2]
    back = loads(dumps(array))
    assert back.shape == (2, 2)
    assert back[0, 0] == {"a": (1,)}
    assert back[0, 1] is back
    assert back[1, 0] == [1, 2]


def test_a_shared_array_stays_one() -> None:
    array = np.arange(3)
    first, second = loads(dumps([array, array]))
    assert first is second


class Matrix(np.ndarray[Any, Any]):
    pass


def test_what_does_not_describe_itself_is_refused() -> None:
    for bad in (
        np.arange(3).view(Matrix),
        np.ma.masked_array([1], [True]),
        np.array([(1, None)], dtype=[("x", int), ("y", object)]),
        np.array(["x"], dtype=np.dtypes.StringDType()),
    ):
        with pytest.raises(SerializationError, match=r"at value\[0\]: "):
            dumps([bad])


def test_damaged_arrays_are_refused() -> None:
    data = dumps(np.arange(3, dtype="<i8"))
    with pytest.raises(SerializationError, match="wrong size"):
        loads(data.replace(b'"shape":[3]', b'"shape":[4]'))
    with pytest.raises(SerializationError):
        loads(data.replace(b'"<i8"', b'"|O"'))
    with pytest.raises(SerializationError):
        loads(data.replace(b'"<i8"', b'"nonsense"'))


def test_without_numpy_an_array_is_unknown_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = dumps(np.arange(3))
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(UnknownCodeError, match="numpy, which is not installed"):
        loads(data)
    assert canonical(data)
