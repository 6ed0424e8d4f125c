"""Which step of a definition is next: pure, without Django and without time.

    flow = Flow(definition, given)
    ready = flow.begin()
    ready = flow.complete("validate", output)

Who drives it runs the steps that it hands out, and reports how each ended. The
interpreter does so live, and what people read of an execution is made by telling a flow
what is in the run's log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django_workflows.core.expressions import ExpressionError, compile_expression
from django_workflows.definitions.graph import branch_owners, predecessors
from django_workflows.definitions.schema import StepDefinition, WorkflowDefinition


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step was settled: completed, failed or skipped."""

    status: str
    output: Any = None
    error: Any = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A step to run now: or to fail now, if its condition cannot be evaluated."""

    step: StepDefinition
    error: ExpressionError | None = None


class Flow:
    """One execution of a definition, as far as its steps have come."""

    def __init__(self, definition: WorkflowDefinition, given: Any) -> None:
        self._given = given
        self._owners = branch_owners(definition.steps)
        self._before = predecessors(definition.steps)
        self._steps = {step.id: step for step in definition.steps}
        for name in self._before:
            # An error branch that is no step of the definition is an action.
            self._steps.setdefault(name, StepDefinition(id=name, action=name))
        self._after: dict[str, list[str]] = {name: [] for name in self._before}
        for name, earlier in self._before.items():
            for each in earlier:
                self._after[each].append(name)
        self._handed_out: set[str] = set()
        #: How steps were settled, in that order.
        self.outcomes: dict[str, Outcome] = {}
        #: What has made the execution fail.
        self.failure: Any = None

    def begin(self) -> list[Ready]:
        """The steps that depend on no other."""
        return self._look_at(self._before)

    def complete(self, step_id: str, output: Any) -> list[Ready]:
        """A step has returned: the steps that are ready by that."""
        return self._settle(step_id, Outcome("completed", output))

    def fail(self, step_id: str, error: Any) -> list[Ready]:
        """A step has failed for good: the steps that are ready by that."""
        if self._is_fatal(step_id) and self.failure is None:
            self.failure = error
        return self._settle(step_id, Outcome("failed", error=error))

    def is_past(self, step_id: str) -> bool:
        """Whether the execution has gone beyond a step: not if that made it fail."""
        outcome = self.outcomes.get(step_id)
        if outcome is None:
            return False
        return outcome.status != "failed" or not self._is_fatal(step_id)

    @property
    def unsettled(self) -> list[StepDefinition]:
        """The steps that were handed out and not reported yet."""
        return [
            step
            for name, step in self._steps.items()
            if name in self._handed_out and name not in self.outcomes
        ]

    @property
    def outputs(self) -> dict[str, Any]:
        """What completed steps have returned."""
        return {
            name: outcome.output
            for name, outcome in self.outcomes.items()
            if outcome.status == "completed"
        }

    @property
    def state(self) -> dict[str, Any]:
        """The outputs of all steps that are settled: null where there is none."""
        return {name: outcome.output for name, outcome in self.outcomes.items()}

    def scope(self, step_id: str) -> dict[str, Any]:
        """What the names in a step's expressions stand for."""
        given = self._given if isinstance(self._given, Mapping) else {}
        names = {"input": self._given, "state": self.state, **given}
        # Of several whose failure it answers, the others may still run.
        names |= dict.fromkeys(self._owners.get(step_id, ()))
        return names | self.state

    # -- deciding ---------------------------------------------------------------------

    def _settle(self, step_id: str, outcome: Outcome) -> list[Ready]:
        self.outcomes[step_id] = outcome
        return self._look_at(self._after[step_id])

    def _look_at(self, candidates: Iterable[str]) -> list[Ready]:
        """Hand out what is ready; skipping a step may decide about others."""
        ready: list[Ready] = []
        waiting = deque(candidates)
        while waiting and self.failure is None:
            step_id = waiting.popleft()
            if step_id in self._handed_out or step_id in self.outcomes:
                continue
            decision = self._decide(step_id)
            if isinstance(decision, Ready):
                self._handed_out.add(step_id)
                ready.append(decision)
            elif decision:
                self.outcomes[step_id] = Outcome("skipped")
                waiting.extend(self._after[step_id])
        return ready

    def _decide(self, step_id: str) -> Ready | bool:
        """Run it, skip it (True), or wait (False)."""
        step = self._steps[step_id]
        owners = self._owners.get(step_id, [])
        is_called = any(self._has_failed(name) for name in owners)
        needed = [name for name in step.depends_on if name not in owners]
        awaited = needed if is_called else [*needed, *owners]
        if any(name not in self.outcomes for name in awaited):
            return False
        if owners and not is_called:
            return True
        if needed and not is_called and all(map(self._is_as_skipped, needed)):
            return True
        if step.condition is None:
            return Ready(step)
        try:
            holds = compile_expression(step.condition).holds(self.scope(step_id))
        except ExpressionError as error:
            return Ready(step, error)
        return Ready(step) if holds else True

    def _is_fatal(self, step_id: str) -> bool:
        return self._steps[step_id].on_error in ("fail", "retry")

    def _has_failed(self, step_id: str) -> bool:
        outcome = self.outcomes.get(step_id)
        return outcome is not None and outcome.status == "failed"

    def _is_as_skipped(self, step_id: str) -> bool:
        """It did not run, or failed and another step ran instead."""
        if self._has_failed(step_id):
            return self._steps[step_id].on_error == "branch"
        return self.outcomes[step_id].status == "skipped"
