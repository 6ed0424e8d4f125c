"""Durable workflows in plain async Python, on the Django ORM.

Everything here is loaded when it is first used, so that importing this package works
before Django's apps are loaded, in a settings module for example.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_workflows.core.context import StepMetadata, get_step_metadata
    from django_workflows.core.retry import RetryPolicy
    from django_workflows.core.serialization import ModelRef, register_type
    from django_workflows.core.signatures import hmac_signature
    from django_workflows.core.webhooks import WebhookRequest, WebhookResponse
    from django_workflows.definitions.actions import action
    from django_workflows.definitions.classes import DefinedWorkflow
    from django_workflows.definitions.events import ahandle_event, handle_event
    from django_workflows.definitions.schema import StepDefinition, Trigger
    from django_workflows.errors import (
        ChildWorkflowError,
        DuplicateRunError,
        FatalError,
        FetchStatusError,
        HistoryLimitError,
        HookConflictError,
        HookDisposedError,
        HookNotFoundError,
        InvalidDefinitionError,
        InvalidRunStateError,
        ModelGoneError,
        NonDeterminismError,
        PayloadTooLargeError,
        RetryableError,
        SerializationError,
        StepCancelledError,
        StepCrashedError,
        StepError,
        StepFailedError,
        StepTimeoutError,
        UnknownCodeError,
        WorkflowError,
        WorkflowGuardError,
        WorkflowNotRegisteredError,
        WorkflowRunCancelledError,
        WorkflowRunFailedError,
        WorkflowRunNotFoundError,
        WorkflowRunTerminatedError,
        WorkflowRunTimedOutError,
    )
    from django_workflows.http.fetching import fetch
    from django_workflows.http.response import FetchResponse
    from django_workflows.replay.api import (
        WorkflowMetadata,
        continue_as_new,
        create_hook,
        deprecate_patch,
        first_success,
        get_workflow_metadata,
        now,
        patched,
        race,
        random,
        set_attributes,
        sleep,
        start_child,
        uuid4,
    )
    from django_workflows.replay.defined_hooks import define_hook
    from django_workflows.replay.definitions import Workflow, step, workflow
    from django_workflows.replay.hooks import Hook
    from django_workflows.replay.saga import Saga, saga
    from django_workflows.replay.steps import Step
    from django_workflows.replay.streams import Writable, get_writable
    from django_workflows.replay.webhooks import Webhook, create_webhook
    from django_workflows.store.control.bulk import (
        BulkResult,
        acancel_runs,
        aretry_runs,
        aterminate_runs,
        cancel_runs,
        retry_runs,
        terminate_runs,
    )
    from django_workflows.store.hooks import (
        aget_hook_by_token,
        aresume_hook,
        get_hook_by_token,
        resume_hook,
    )
    from django_workflows.store.launching import (
        aget_run,
        astart,
        astart_many,
        get_run,
        start,
        start_many,
    )
    from django_workflows.store.schedules import acreate_schedule, create_schedule
    from django_workflows.webhooks.receiving import aresume_webhook, resume_webhook
    from django_workflows.worker.q2.settings import q_cluster

_ERRORS = (
    "ChildWorkflowError DuplicateRunError FatalError FetchStatusError "
    "HistoryLimitError HookConflictError HookDisposedError HookNotFoundError "
    "InvalidDefinitionError InvalidRunStateError ModelGoneError NonDeterminismError "
    "PayloadTooLargeError "
    "RetryableError SerializationError StepCancelledError StepCrashedError "
    "StepError StepFailedError StepTimeoutError UnknownCodeError WorkflowError "
    "WorkflowGuardError WorkflowNotRegisteredError "
    "WorkflowRunCancelledError WorkflowRunFailedError WorkflowRunNotFoundError "
    "WorkflowRunTerminatedError WorkflowRunTimedOutError"
)
_HOMES = {
    "core.context": "StepMetadata get_step_metadata",
    "core.retry": "RetryPolicy",
    "core.serialization": "ModelRef register_type",
    "core.webhooks": "WebhookRequest WebhookResponse",
    "core.signatures": "hmac_signature",
    "definitions.actions": "action",
    "definitions.classes": "DefinedWorkflow",
    "definitions.events": "ahandle_event handle_event",
    "definitions.schema": "StepDefinition Trigger",
    "errors": _ERRORS,
    "http.fetching": "fetch",
    "http.response": "FetchResponse",
    "replay.api": (
        "WorkflowMetadata continue_as_new create_hook deprecate_patch "
        "first_success get_workflow_metadata now patched race random set_attributes "
        "sleep start_child uuid4"
    ),
    "replay.defined_hooks": "define_hook",
    "replay.definitions": "Workflow step workflow",
    "replay.hooks": "Hook",
    "replay.saga": "Saga saga",
    "replay.steps": "Step",
    "replay.streams": "Writable get_writable",
    "replay.webhooks": "Webhook create_webhook",
    "store.control.bulk": (
        "BulkResult acancel_runs aretry_runs aterminate_runs cancel_runs retry_runs "
        "terminate_runs"
    ),
    "store.hooks": "aget_hook_by_token aresume_hook get_hook_by_token resume_hook",
    "store.launching": "aget_run astart astart_many get_run start start_many",
    "store.schedules": "acreate_schedule create_schedule",
    "webhooks.receiving": "aresume_webhook resume_webhook",
    "worker.q2.settings": "q_cluster",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__version__ = "0.1.0"
__all__ = [
    "BulkResult",
    "ChildWorkflowError",
    "DefinedWorkflow",
    "DuplicateRunError",
    "FatalError",
    "FetchResponse",
    "FetchStatusError",
    "HistoryLimitError",
    "Hook",
    "HookConflictError",
    "HookDisposedError",
    "HookNotFoundError",
    "InvalidDefinitionError",
    "InvalidRunStateError",
    "ModelGoneError",
    "ModelRef",
    "NonDeterminismError",
    "PayloadTooLargeError",
    "RetryPolicy",
    "RetryableError",
    "Saga",
    "SerializationError",
    "Step",
    "StepCancelledError",
    "StepCrashedError",
    "StepDefinition",
    "StepError",
    "StepFailedError",
    "StepMetadata",
    "StepTimeoutError",
    "Trigger",
    "UnknownCodeError",
    "Webhook",
    "WebhookRequest",
    "WebhookResponse",
    "Workflow",
    "WorkflowError",
    "WorkflowGuardError",
    "WorkflowMetadata",
    "WorkflowNotRegisteredError",
    "WorkflowRunCancelledError",
    "WorkflowRunFailedError",
    "WorkflowRunNotFoundError",
    "WorkflowRunTerminatedError",
    "WorkflowRunTimedOutError",
    "Writable",
    "__version__",
    "acancel_runs",
    "acreate_schedule",
    "action",
    "aget_hook_by_token",
    "aget_run",
    "ahandle_event",
    "aresume_hook",
    "aresume_webhook",
    "aretry_runs",
    "astart",
    "astart_many",
    "aterminate_runs",
    "cancel_runs",
    "continue_as_new",
    "create_hook",
    "create_schedule",
    "create_webhook",
    "define_hook",
    "deprecate_patch",
    "fetch",
    "first_success",
    "get_hook_by_token",
    "get_run",
    "get_step_metadata",
    "get_workflow_metadata",
    "get_writable",
    "handle_event",
    "hmac_signature",
    "now",
    "patched",
    "q_cluster",
    "race",
    "random",
    "register_type",
    "resume_hook",
    "resume_webhook",
    "retry_runs",
    "saga",
    "set_attributes",
    "sleep",
    "start",
    "start_child",
    "start_many",
    "step",
    "terminate_runs",
    "uuid4",
    "workflow",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
