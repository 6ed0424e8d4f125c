"""The workflow that runs definitions: whatever one says is done by the same code.

Its arguments are the whole definition and the input, so an execution keeps the version
that it was started with, and its log alone tells all that happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from django_workflows.core.expressions import compile_template
from django_workflows.core.retry import RetryPolicy
from django_workflows.definitions.actions import actions_here, call_action, key_of
from django_workflows.definitions.flow import Flow, Ready
from django_workflows.definitions.schema import (
    DEFAULT_RETRY_DELAY,
    StepDefinition,
    WorkflowDefinition,
)
from django_workflows.replay.api import sleep
from django_workflows.replay.definitions import step, workflow
from django_workflows.replay.registry import EXECUTING, registry

#: Names in the registry, and so in every log.
ACTION = "django_workflows.action"
REFUSED = "django_workflows.refused_action"


@workflow(name=EXECUTING)
async def run_definition(
    definition_id: str, definition: dict[str, Any], given: Any
) -> dict[str, Any]:
    """Run a definition with an input; returns the outputs of its completed steps."""
    content = WorkflowDefinition.model_validate(definition)
    return await _Execution(content, given).run()


@step(name=ACTION, max_retries=0)
def perform_action(
    definition_id: str, step_id: str, action: str, params: Any, state: dict[str, Any]
) -> Any:
    """Run the action of a step."""
    return call_action(definition_id, action, params, state)


registry.add_actions(ACTION, actions_here)


@step(name=REFUSED, max_retries=0)
def refuse_action(definition_id: str, step_id: str, error: Exception) -> None:
    """Fail in the place of an action that cannot be called, so that the log says so."""
    raise error


class _Execution:
    """A flow whose steps are tasks."""

    def __init__(self, definition: WorkflowDefinition, given: Any) -> None:
        self._id = definition.id
        self._given = given
        self._flow = Flow(definition, given)
        self._asleep: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> dict[str, Any]:
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._begin(self._flow.begin())
        if self._flow.failure is not None:
            raise self._flow.failure
        return self._flow.outputs

    def _begin(self, ready: Iterable[Ready]) -> None:
        for each in ready:
            task = self._group.create_task(self._run(each))
            if each.step.wait is not None:
                self._asleep[each.step.id] = task

    async def _run(self, ready: Ready) -> None:
        step = ready.step
        if ready.error is None and step.wait is not None:
            await sleep(step.wait)
        self._asleep.pop(step.id, None)
        try:
            output = await self._call(ready)
        except Exception as error:
            following = self._flow.fail(step.id, error)
        else:
            following = self._flow.complete(step.id, output)
        self._begin(following)
        if self._flow.failure is not None:
            # What has not begun does not begin any more.
            for task in self._asleep.values():
                task.cancel()

    def _call(self, ready: Ready) -> Any:
        """Issue the action, or what fails in its place."""
        try:
            if ready.error is not None:
                raise ready.error
            return self._act(ready.step)
        except Exception as error:
            refused = refuse_action.titled(ready.step.id)
            return refused(self._id, ready.step.id, error)

    def _act(self, step: StepDefinition) -> Any:
        params = self._given
        if step.params is not None:
            params = compile_template(step.params).render(self._flow.scope(step.id))
        policy = RetryPolicy(
            initial_interval=(
                DEFAULT_RETRY_DELAY if step.retry_delay is None else step.retry_delay
            ),
            backoff_coefficient=1.0,
            maximum_attempts=step.retries + 1,
        )
        configured = perform_action.options(retry=policy, timeout=step.timeout)
        call = configured.titled(step.id).naming(key_of(self._id, step.action))
        return call(self._id, step.id, step.action, params, self._flow.state)
