from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_workflows.core.ids import derive_id, new_id

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_an_id_is_a_prefix_and_a_ulid_of_now() -> None:
    before = time.time_ns() // 1_000_000
    prefix, _, ulid = new_id("wrun").partition("_")
    after = time.time_ns() // 1_000_000
    assert prefix == "wrun"
    assert ULID.fullmatch(ulid)
    moment = 0
    for character in ulid[:10]:
        moment = moment * 32 + ALPHABET.index(character)
    assert before <= moment <= after


def test_later_ids_sort_later() -> None:
    made = [new_id("x") for _ in range(20_000)]
    assert made == sorted(set(made))


def test_ids_from_many_threads_are_different() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_id("x"), range(5_000)))
    assert len(set(made)) == len(made)


def test_a_clock_that_goes_back_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = new_id("x")
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert new_id("x") > first


def test_a_forked_child_makes_other_ids() -> None:
    """Both would go on counting from the parent's last id in this millisecond."""
    new_id("x")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, "\n".join(new_id("x") for _ in range(100)).encode())
        finally:
            os._exit(0)
    mine = {new_id("x") for _ in range(100)}
    os.waitpid(child, 0)
    theirs = set(os.read(reader, 65536).decode().split("\n"))
    os.close(reader)
    os.close(writer)
    assert len(theirs) == 100
    assert not mine & theirs


def test_a_derived_id_never_changes() -> None:
    assert derive_id("step", "wrun_1", 1, "x") == "step_01637BW4NZZNFJXWK71EV4H8Q9"


@given(st.lists(st.text() | st.integers()), st.lists(st.text() | st.integers()))
def test_different_parts_make_different_ids(
    first: list[str | int], second: list[str | int]
) -> None:
    same = list(map(str, first)) == list(map(str, second))
    assert (derive_id("x", *first) == derive_id("x", *second)) == same
    assert ULID.fullmatch(derive_id("x", *first)[2:])


def test_parts_do_not_run_into_each_other() -> None:
    assert derive_id("x", "ab", "c") != derive_id("x", "a", "bc")
    assert derive_id("x", "1:a") != derive_id("x", "a")
    assert derive_id("x", "\ud800").startswith("x_")
