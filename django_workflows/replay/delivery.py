"""What an entry of the log means to what is open in a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from django_workflows.core import failures, serialization
from django_workflows.errors import StepFailedError
from django_workflows.replay import events as log
from django_workflows.replay.events import LogEvent
from django_workflows.replay.forks import edges_of
from django_workflows.replay.hooks import Hook

if TYPE_CHECKING:
    from django_workflows.replay.execution import Execution


#: Entries after which a run is paused, or is not any more.
_STANDS_STILL = {log.RUN_PAUSED: True, log.RUN_RESUMED: False, log.RUN_RETRIED: False}


def note(execution: Execution, event: LogEvent) -> None:
    """Take notice of an entry that starts no burst, such as `step_started`."""
    if event.type == log.RUN_CREATED:
        execution.input = event.payload
        execution.edges = edges_of(event)
        execution.copied = execution.edges[-1].until if execution.edges else 0
        return
    if event.type == log.RUN_RETRIED:
        _retried(execution, event)
        return
    call = execution.steps.get(event.correlation_id)
    if call is None:
        if event.type in _STANDS_STILL:
            execution.is_paused = _STANDS_STILL[event.type]
        elif event.type == log.HOOK_CARRIED:
            hook = Hook(execution, event.correlation_id, event.detail["token"])
            execution.hooks[hook.id] = execution.carried[hook.token] = hook
        return
    if event.type == log.STEP_STARTED:
        call.attempt = event.detail["attempt"]
        call.worker = event.detail.get("worker", "")
        call.started_us = event.time
        call.has_row = bool(event.detail.get("row"))
        call.suspect = False
    elif event.type == log.STEP_TIMED_OUT:
        call.errors += 1
        if call.last_error is None:
            call.last_error = event.payload
        if "retry_at" in event.detail:  # else the step fails, in the next event
            call.worker = ""
            call.retry_us = event.detail["retry_at"]
            call.suspect = False
    elif event.type == log.STEP_RETRYING:
        call.worker = ""
        call.retry_us = event.detail.get("retry_at", event.time)
        reason = event.detail.get("reason", "error")
        call.suspect = reason == "crash"
        if reason == "error":
            call.errors += 1
            call.last_error = event.payload
        elif reason == "crash" and event.detail.get("alone"):
            call.crashes += 1


def _retried(execution: Execution, event: LogEvent) -> None:
    """The run was closed and goes on in a new epoch."""
    execution.is_paused = False
    execution.info.attempt = event.detail["attempt"]
    execution.info.epoch = event.detail["epoch"]
    cut_us = event.detail.get("cut_at", event.time)
    execution.go_on_from(cut_us, event.time, event.detail.get("attempts", {}))


def _on_run_started(execution: Execution, event: LogEvent) -> None:
    execution.started_us = event.time
    execution.info.base_url = event.detail.get("base_url", execution.info.base_url)
    execution.info.attributes = event.detail.get("attributes", {})
    args, kwargs = serialization.loads_call(execution.input or b"")
    execution.workflow.require_async()
    execution.main = execution.loop.create_task(
        execution.workflow.func(*args, **kwargs),
        name="workflow",
        context=execution.context,
    )


def _on_step_end(execution: Execution, event: LogEvent) -> None:
    call = execution.steps.pop(event.correlation_id, None)
    if call is None:
        execution.require_known(event)
        return
    if event.type == log.STEP_COMPLETED:
        call.succeed(execution.decode(event.payload))
        return
    error = failures.rebuild(event.payload or b"")
    view = failures.Failure.of(event.payload or b"")
    attempts = event.detail.get("attempt", 1)
    circumstances = StepFailedError(
        f"step {call.step.title} failed after {attempts} "
        f"{'attempt' if attempts == 1 else 'attempts'}: {view.message}",
        step_id=call.id,
        step_name=call.step.name,
        attempts=attempts,
        traceback=view.traceback,
    )
    raised = call.error_before(event.detail.get("kind"))
    if raised is None:
        raised = error
    else:
        error.__cause__ = raised
    # What the step raised it from comes after the circumstances.
    circumstances.__cause__, raised.__cause__ = raised.__cause__, circumstances
    call.fail(error)


def _on_wait_completed(execution: Execution, event: LogEvent) -> None:
    if not execution.timers.fire(event.correlation_id):
        execution.require_known(event)


def _on_wake_requested(execution: Execution, event: LogEvent) -> None:
    execution.timers.wake()


def _on_hook_received(execution: Execution, event: LogEvent) -> None:
    hook = execution.hooks.get(event.correlation_id)
    if hook is None:
        execution.require_known(event)
        return
    hook.received(event.payload or b"")


def _on_hook_claimed(execution: Execution, event: LogEvent) -> None:
    hook = execution.hooks.get(event.correlation_id)
    if hook is None:
        return  # disposed of in the burst that claimed it
    if event.type == log.HOOK_CONFLICT:
        del execution.hooks[event.correlation_id]
        hook.claimed(event.detail["held_by"])
    else:
        hook.claimed(None)


def _on_child_claimed(execution: Execution, event: LogEvent) -> None:
    if (follows := execution.children.claimed(event)) is not None:
        execution.known_ids.add(follows)


def _on_child_end(execution: Execution, event: LogEvent) -> None:
    handles = execution.children.take(event.correlation_id)
    for handle in handles:
        handle.ended(event)
    if not handles and not execution.info.epoch:
        # After a retry, children of what is void by then still come to an end.
        execution.require_known(event)


def _on_cancel_requested(execution: Execution, event: LogEvent) -> None:
    if execution.main is None or execution.cancel_delivered:
        return
    execution.cancel_delivered = True
    execution.main.cancel(event.detail.get("reason") or None)
    # Clean-up code must see an ordinary task: a TaskGroup in an except block
    # behaves differently in one that is still being cancelled.
    execution.main.uncancel()


#: What delivers an event to the run's code.
HANDLERS: dict[str, Callable[[Execution, LogEvent], None]] = {
    log.RUN_STARTED: _on_run_started,
    log.STEP_COMPLETED: _on_step_end,
    log.STEP_FAILED: _on_step_end,
    log.WAIT_COMPLETED: _on_wait_completed,
    log.WAKE_REQUESTED: _on_wake_requested,
    log.HOOK_RECEIVED: _on_hook_received,
    log.HOOK_CREATED: _on_hook_claimed,
    log.HOOK_CONFLICT: _on_hook_claimed,
    log.CANCEL_REQUESTED: _on_cancel_requested,
    log.CHILD_CREATED: _on_child_claimed,
    log.CHILD_COMPLETED: _on_child_end,
    log.CHILD_FAILED: _on_child_end,
    log.CHILD_CANCELLED: _on_child_end,
}
