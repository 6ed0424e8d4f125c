"""Workflows that pass marked values through everything there is for values."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django_workflows import (
    ChildWorkflowError,
    FatalError,
    HookConflictError,
    RetryPolicy,
    WebhookRequest,
    WebhookResponse,
    continue_as_new,
    create_hook,
    create_webhook,
    get_step_metadata,
    get_writable,
    saga,
    sleep,
    start,
    start_child,
    step,
    workflow,
)
from tests.security.markers import mark


class Reason(Exception):
    """Keeps what it was given, as exceptions of users do."""

    def __init__(self, message: str, *, detail: Any = None) -> None:
        super().__init__(message)
        self.detail = detail


class Fragile:
    """Says what it holds when it cannot be read."""

    readable = True

    def __init__(self, value: str) -> None:
        self.value = value

    def __workflow_encode__(self) -> Any:
        return self.value

    @classmethod
    def __workflow_decode__(cls, data: Any) -> Fragile:
        if not cls.readable:
            raise ValueError(f"cannot read {data}")
        return cls(data)


@step
def result_of(argument: Any, *, option: Any = None) -> str:
    return mark("step_result")


@step(queue="elsewhere")
def on_another_queue(argument: Any) -> None: ...


@step(retry=RetryPolicy(maximum_attempts=2, initial_interval="1m"))
def at_the_second_attempt(argument: Any) -> None:
    metadata = get_step_metadata()
    if metadata.attempt == 1:
        metadata.heartbeat({"at": mark("heartbeat_details")})
        raise ValueError(mark("retried_error"))


@step(max_retries=0)
def failing(argument: Any) -> None:
    try:
        raise KeyError(mark("cause_of_error"))
    except KeyError as error:
        raise Reason(
            mark("step_error"), detail={"why": mark("attribute_of_error")}
        ) from error


@step(max_retries=0)
def undo(argument: Any) -> None:
    raise FatalError(mark("compensation_error"))


@workflow
async def child(argument: Any) -> Any:
    if argument == mark("input_of_failing_child"):
        raise Reason(mark("child_error"))
    return mark("child_output")


@step
def starts_another(argument: Any) -> str:
    return start(child, mark("input_of_started_run")).pk


@step
def writes_to_a_stream() -> None:
    with get_writable("progress") as stream:
        stream.write({"text": mark("chunk")})
        stream.write(mark("chunk_of_bytes").encode())


@step
def answers(request: WebhookRequest) -> None:
    header = {"X-Answer": mark("header_of_answer")}
    request.respond_with(WebhookResponse.text(mark("answer"), headers=header))


@workflow
async def receives() -> None:
    """One webhook with an answer of its own, and one that a step answers."""
    static = WebhookResponse.text(
        mark("static_answer"), headers={"X-Answer": mark("header_of_static_answer")}
    )
    first = create_webhook(
        mark("static_token"), respond_with=static, metadata=mark("webhook_metadata")
    )
    second = create_webhook(mark("manual_token"), respond_with="manual")
    await first
    await answers(await second)
    await writes_to_a_stream()


@workflow
async def everything(argument: Any, *, option: Any) -> Any:
    await result_of(mark("step_argument"), option=b"-" + mark("step_option").encode())
    await at_the_second_attempt(mark("argument_of_retried"))
    await starts_another(mark("argument_of_starting"))
    await start_child(child, mark("child_input"))
    with suppress(ChildWorkflowError):
        await start_child(child, mark("input_of_failing_child"))
    try:
        async with saga() as s:
            s.compensate(undo, mark("compensation_argument"))
            await failing(mark("argument_of_failing"))
    except* (Reason, FatalError):
        pass
    with create_hook(
        mark("first_token"), metadata={"for": mark("hook_metadata")}
    ) as hook:
        assert await hook == mark("hook_payload")
    return mark("run_output")


@workflow
async def waits_elsewhere() -> None:
    await on_another_queue(mark("argument_on_another_queue"))


@workflow
async def fails(argument: Any) -> None:
    raise Reason(mark("run_error"), detail=argument)


@workflow
async def hands_on(round_: int, argument: Any) -> Any:
    """Its successor is given an argument and payloads that nobody has read."""
    hook = create_hook(mark("carried_token"), metadata=mark("metadata_of_carried"))
    await sleep("1h")
    if round_ == 1:
        continue_as_new(2, mark("argument_of_successor"))
    return [await hook, await hook]


@workflow
async def loses_a_hook() -> None:
    """A second claim of a token that it holds itself, and a hook after its end."""
    with create_hook(mark("lost_token")) as hook:
        rival = create_hook(mark("lost_token"))
        with suppress(HookConflictError):
            await rival
    await hook


@workflow
async def takes_fragile(fragile: Fragile) -> str:
    return fragile.value


@workflow
async def waits(argument: Any) -> Any:
    await result_of(argument)
    return [argument, await create_hook(mark("inbox_token"))]
