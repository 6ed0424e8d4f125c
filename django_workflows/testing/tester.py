"""A worker in the test's own process, whose time stands still until it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Self
from unittest.mock import Mock

from django_workflows.conf import conf
from django_workflows.core.durations import Duration, to_seconds
from django_workflows.core.ids import new_id
from django_workflows.errors import (
    NonDeterminismError,
    WorkflowError,
    WorkflowGuardError,
)
from django_workflows.models import Run, Step, Worker
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import registry
from django_workflows.replay.steps import Step as StepDefinition
from django_workflows.store import answers, due, sweep, workers
from django_workflows.store.announcements import send_held_back
from django_workflows.store.chains import current_run_id
from django_workflows.store.checking import check_history
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    freeze_time,
    to_datetime,
)
from django_workflows.store.exports import History
from django_workflows.store.launching import get_run, start
from django_workflows.store.patience import Patience
from django_workflows.store.replays import stored_log
from django_workflows.testing.inline import InlineExecutor
from django_workflows.worker.code import code_digest
from django_workflows.worker.owned import OwnedRun
from django_workflows.worker.reactor import Reactor

#: Times the BURST_TIMEOUT: machines that run tests are busy.
_PATIENCE = 5


class WorkflowTester:
    """Runs workflows to their end, or step by step, in a test.

    Time stands still at `now`, for the workflows and for the database's due times,
    until `advance` moves it or `run` skips what is waited for. Use it as a context
    manager, or through the pytest fixture ``workflows``. It works on the test's thread
    and connection, inside a transaction that is rolled back as well.
    """

    #: The queues that have a worker; None: all of them.
    queues: tuple[str, ...] | None = None

    def __init__(self) -> None:
        self._executor = InlineExecutor()
        self._now_us = 0
        self._is_running = False
        self._patience: Patience
        self._reactor: Reactor

    def __enter__(self) -> Self:
        self._set_now(database_time(connection()))
        self._begin_worker()
        answers.answer_by(self._bring_answer)
        self._patience = Patience(lambda: _PATIENCE * conf.BURST_TIMEOUT)
        self._patience.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._patience.__exit__()
        answers.answer_by(None)
        self._reactor.forget_all()
        freeze_time(None)

    # -- time -------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return to_datetime(self._now_us)

    def now_us(self) -> int:
        return self._now_us

    def _set_now(self, us: int) -> None:
        self._now_us = us
        freeze_time(us)

    def advance(self, duration: Duration) -> None:
        """Let time pass: what falls due on the way happens in order, each at its time.

        Raises ValueError for a negative duration.
        """
        seconds = to_seconds(duration)
        if seconds < 0:
            raise ValueError(f"time does not go back: {duration!r}")
        target = self._now_us + round(seconds * 1_000_000)
        self.run_until_idle()
        while (next_us := self._next_due_us()) is not None and next_us <= target:
            self._set_now(next_us)
            self.run_until_idle()
        self._set_now(target)
        self.run_until_idle()

    def _next_due_us(self) -> int | None:
        wait = due.look(self._queues()).wait
        return None if wait is None else self._now_us + max(1, round(wait * 1_000_000))

    # -- running ----------------------------------------------------------------------

    def start(
        self, workflow: Workflow[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> Run:
        """Start a run, as ``start()`` does; nothing of it happens yet."""
        return start(workflow, *args, **kwargs)

    def run(
        self, workflow: Workflow[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> Any:
        """Start a run and bring it to its end, skipping all waiting.

        Returns what ``run.result()`` returns and raises what it raises. Raises the
        blocking error itself if the run is blocked, and RuntimeError if it waits for
        something that only the test can give it.
        """
        run = self.start(workflow, *args, **kwargs)
        self.run_until_idle()
        while not self._is_closed(run := self._current(run)):
            # Schedules come round for ever: what they start may be due on the way.
            goes_on = due.look(self._queues(), with_schedules=False).wait is not None
            next_us = self._next_due_us()
            if next_us is None or not goes_on or run.blocked_reason:
                self._explain(run)
            assert next_us is not None
            self._set_now(next_us)
            self.run_until_idle()
        return run.result()

    def run_until_idle(self) -> None:
        """Do all that can be done now, without letting any time pass.

        Runs begun by a plain ``start()`` are picked up, of whatever queue.
        """
        was_running, self._is_running = self._is_running, True
        try:
            self._run_until_idle()
        finally:
            self._is_running = was_running

    def _run_until_idle(self) -> None:
        reactor = self._reactor
        reactor.queues = self._queues()
        send_held_back(connection())
        while True:
            reactor.look_at_all()
            worked = reactor.round(reactor.wait(0))
            for ended in self._executor.run_queued():
                reactor.report(ended)
                worked = True
            if worked or self._is_busy() or not reactor.arrivals.empty():
                reactor.queues = self._queues()
                send_held_back(connection())
                continue
            held_up = any(run.is_frozen for run in reactor.owned.values())
            if not (reactor.let_go() and held_up):
                return

    def _bring_answer(self, is_answered: Callable[[], bool], seconds: float) -> None:
        """A webhook's sender waits, on this thread, for the answer of a step: do all
        that happens until then, or for as long as it waits."""
        if self._is_running:
            raise RuntimeError(
                "the code of a step waits here for the answer to a webhook, and no "
                "other runs meanwhile: mock the step, or send the request from the test"
            )
        until_us = self._now_us + round(seconds * 1_000_000)
        self.run_until_idle()
        while not is_answered():
            next_us = self._next_due_us()
            if next_us is None or next_us >= until_us:
                self._set_now(until_us)
                return
            self._set_now(next_us)
            self.run_until_idle()

    def _is_busy(self) -> bool:
        """Whether something goes on by itself: not what waits for another
        connection's lock."""
        return any(
            not (run.is_idle or run.is_frozen) for run in self._reactor.owned.values()
        )

    def _queues(self) -> tuple[str, ...]:
        if self.queues is not None:
            return self.queues
        of_runs, of_steps = (
            model.objects.using(alias()).order_by().values_list("queue", flat=True)
            for model in (Run, Step)
        )
        # Since 6.1 Django gives the union the models' order, too.
        return tuple(sorted({"default", *of_runs.union(of_steps).order_by()}))

    def _current(self, run: Run) -> Run:
        """The last run of the chain."""
        run_id = current_run_id(run.pk)
        return run if run_id == run.pk else get_run(run_id)

    def _is_closed(self, run: Run) -> bool:
        run.refresh_from_db(using=alias())
        return run.is_closed

    def _explain(self, run: Run) -> None:
        if run.blocked_reason:
            blocked = self._blocked_error(run)
            raise blocked or WorkflowError(run.blocked_reason)
        if run.status == Run.Status.PAUSED:
            raise RuntimeError(f"run {run.pk} of {run.workflow} is paused: resume() it")
        unknown = self._unknown_code(run)
        if unknown:
            raise RuntimeError(
                f"run {run.pk} of {run.workflow} waits for a worker that knows "
                f"{', '.join(unknown)}: there is no code of that name here"
            )
        hooks = ", ".join(repr(hook.token) for hook in run.hooks.all())
        waits = f"the hook {hooks}" if hooks else "something outside of it"
        raise RuntimeError(
            f"run {run.pk} of {run.workflow} waits for {waits}, which run() cannot "
            "give it: use start(), run_until_idle() and resume_hook()"
        )

    def _unknown_code(self, run: Run) -> list[str]:
        """Steps on offer, or their actions, that this process does not know."""
        known = registry.known_steps()
        pending = run.steps.filter(status=Step.Status.PENDING)
        names = [step.name for step in pending if step.name not in known]
        actions = [(name, registry.action_of_row(name)) for name in names]
        return [
            f"the action {action!r}" if action else f"the step {name!r}"
            for name, action in actions
        ]

    def _blocked_error(self, run: Run) -> Exception | None:
        kind, _, message = run.blocked_reason.partition(": ")
        for known in (WorkflowGuardError, NonDeterminismError):
            if known.__name__ == kind:
                return known(message)
        return None

    # -- what tests do to workflows ---------------------------------------------------

    def mock_step(
        self,
        step: StepDefinition[..., Any],
        *,
        return_value: Any = None,
        side_effect: Any = None,
    ) -> Mock:
        """Call a mock instead of a step's function from now on; returns the mock.

        `return_value` and `side_effect` are those of ``unittest.mock.Mock``. Retries,
        recording and replay work as ever.
        """
        mock = Mock(name=step.name, return_value=return_value, side_effect=side_effect)
        self._executor.mocks[step.name] = mock
        return mock

    def crash(self) -> None:
        """Lose all that is in memory, as if the worker had been killed.

        Whatever runs next has to be replayed, by another worker.
        """
        self._executor.forget()
        self._reactor.forget_all()
        worker = Worker.objects.using(alias()).get(pk=self._reactor.worker_id)
        sweep.declare_dead(connection(), worker.pk, worker.beat)
        self._begin_worker()

    def assert_replays(self, run: Run) -> None:
        """Replay a run's log against today's code.

        Raises NonDeterminismError, or whatever else keeps the run from going on.
        """
        fresh = Run.objects.using(alias()).get(pk=run.pk)
        broken = check_history(History(fresh, stored_log(fresh)), self._patience)
        if broken is not None:
            raise broken.error

    def _begin_worker(self) -> None:
        worker_id = new_id("wrkr")
        workers.register(connection(), worker_id, ("default",), code_digest())
        self._reactor = Reactor(
            connection(), worker_id, ("default",), self._executor, self, code_digest()
        )
        self._reactor.on_burst = self._reactor.loader.on_burst = self._note_burst

    def _note_burst(self, run: OwnedRun | None) -> None:
        if run is None:
            self._patience.end()
        else:
            self._patience.begin(run.execution)
