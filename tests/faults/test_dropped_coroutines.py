"""Runs that are dropped from memory do nothing on their way out.

A suspended coroutine that is merely forgotten is closed by the garbage collector. Its
clean-up code then runs where no workflow is, so that steps are plain functions.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.utils import OperationalError

from django_workflows import resume_hook, start
from django_workflows.models import Run, Worker
from django_workflows.store import attempts, history
from django_workflows.worker import process, tasks
from tests.app.models import Ledger
from tests.cluster.harness import until
from tests.faults import checks, workflows
from tests.faults.driver import World

pytestmark = pytest.mark.django_db(transaction=True)


def _fail(*args: Any, **kwargs: Any) -> Any:
    raise OperationalError("on purpose")


def _break(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("on purpose")


def test_run_dropped_while_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    with World() as world:
        run = start(workflows.cleans_up, "a")
        world.answers["a/inbox"] = ["go"]
        with monkeypatch.context() as patch:
            (node,) = world.nodes
            node.reactor.round([])
            world.bury(node)
            patch.setattr(attempts, "rows_of", _fail)
            world.turn(world.nodes[0])
            gc.collect()
            assert not Ledger.objects.exists()
        world.run(run)
    assert run.result() == "go"
    checks.check_log(run)


def test_run_dropped_while_it_is_taken_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with World() as world:
        run = start(workflows.cleans_up, "a")
        world.idle()
        resume_hook("a/inbox", "go")
        with monkeypatch.context() as patch:
            patch.setattr(history, "read_inboxes", _fail)
            world.turn(world.nodes[0])
            gc.collect()
            assert not Ledger.objects.exists()
        world.run(run)
    assert run.result() == "go"
    checks.check_log(run)


@pytest.fixture
def worker_settings(settings: Any) -> Iterator[None]:
    """This process may be a worker, with short slices; none is left at the end."""
    settings.WORKFLOWS = {"LINGER": "50ms", "SLICE": "1s"}
    process._draining.clear()
    yield
    process.shutdown(1)
    process.discard()
    process._draining.clear()
    until(lambda: not _threads(), "the end of the worker's threads")


def _threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("workflows")]


def _work_until(run: Run, condition: Callable[[], bool]) -> None:
    def holds() -> bool:
        tasks.work()
        return condition()

    until(holds, f"progress of {run}")


def test_runs_of_a_reactor_that_failed(
    worker_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(workflows.cleans_up, "a")
    _work_until(run, run.hooks.exists)
    first = process.current().id
    with monkeypatch.context() as patch:
        patch.setattr(process.current().reactor, "round", _break)
        tasks.work()
    gc.collect()
    assert not Ledger.objects.exists()
    assert Worker.objects.get(pk=first).stopped_at
    resume_hook("a/inbox", "go")
    _work_until(run, lambda: not Run.objects.open().exists())
    assert Ledger.objects.count() == 1
    checks.check_log(run)


def test_runs_of_a_worker_that_was_declared_dead(worker_settings: None) -> None:
    run = start(workflows.cleans_up, "a")
    _work_until(run, run.hooks.exists)
    first = process.current().id
    process.current().is_dead = True
    assert process.current().id != first
    gc.collect()
    assert not Ledger.objects.exists()
