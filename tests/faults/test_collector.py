"""The garbage collector comes by while workflow code runs."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_workflows import start, workflow
from tests.faults import checks, workflows
from tests.faults.driver import World

pytestmark = pytest.mark.django_db(transaction=True)

collected: list[float] = []


class Rubbish:
    """In a reference cycle; what it does when it goes, workflow code must not do."""

    def __init__(self) -> None:
        self.itself: Any = self


class Noisy(Rubbish):
    def __del__(self) -> None:
        collected.append(time.time())


def _with_finalizer() -> None:
    weakref.finalize(Rubbish(), lambda: collected.append(time.time()))


def _suspended_generator() -> None:
    def generate(rubbish: Rubbish) -> Iterator[None]:
        try:
            yield
        finally:
            collected.append(time.time())

    rubbish = Rubbish()
    rubbish.itself = generate(rubbish)
    next(rubbish.itself)


@workflow(name="collector.littering")
async def littering(account: str) -> int:
    """Makes so many objects that the collector has to come by."""
    kept: list[Any] = [[] for _ in range(20_000)]
    first = await workflows.plain(account, 1)
    kept += [[] for _ in range(20_000)]
    return first + len(kept)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "make",
    [
        Noisy,
        _with_finalizer,
        _suspended_generator,
    ],
)
def test_rubbish_of_others_does_not_block_a_run(make: Callable[[], object]) -> None:
    collected.clear()
    with World() as world:
        run = start(littering, "a")

        def litter(_: object, name: str) -> None:
            for _ in range(10):
                make()

        world.on_point = litter
        world.idle()
        run.refresh_from_db()
        assert not run.blocked_reason
        world.run(run)
    assert run.result() == 40_001
    checks.check_log(run)
    gc.collect()
    assert collected
    assert gc.isenabled()
