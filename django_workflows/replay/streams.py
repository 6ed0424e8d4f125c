"""Streams as code sees them: a handle to pass on, which steps write with."""

from __future__ import annotations

from asyncio.events import _get_running_loop
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from django_workflows.core import context
from django_workflows.core.context import StepMetadata, StreamOutput
from django_workflows.core.serialization import register_type
from django_workflows.replay.loop import WorkflowLoop
from django_workflows.replay.options import check_name

#: Characters of a namespace.
LONGEST_NAMESPACE = 255


@dataclass(frozen=True)
class Writable:
    """The writing end of a stream of a run; made by ``get_writable()``.

    A value like any other: it can be passed to steps, to children and to continued
    runs, and stays the stream of the run it was made in. Only the code of steps writes,
    from any of its threads. As a context manager, ``with`` or ``async with``, it closes
    the stream when the block ends; an exception leaves it open, for the next attempt.
    """

    run_id: str
    namespace: str = ""
    #: The attempt that the handle was made in: its threads know of none by themselves.
    _step: StepMetadata | None = field(
        default_factory=context.current_step, init=False, compare=False, repr=False
    )

    def write(self, value: Any) -> None:
        """Append a value, of any kind that can be serialized, bytes for example.

        It is stored at once if it is the attempt's first, otherwise within about 20
        ms; when more than 256 KiB wait to be stored, this waits too. Whatever was
        written is stored before the step's end is.

        Raises SerializationError and PayloadTooLargeError for the value, ValueError if
        the stream or its run is closed, StepCancelledError if the attempt does not
        count any more, and RuntimeError outside of a step.
        """
        self._output("write").write(self.run_id, self.namespace, value)

    async def awrite(self, value: Any) -> None:
        await self._output("awrite").awrite(self.run_id, self.namespace, value)

    def close(self) -> None:
        """End the stream, once all that was written to it is stored.

        Does nothing if it is closed. Raises what ``write`` raises.
        """
        self._output("close").close(self.run_id, self.namespace)

    async def aclose(self) -> None:
        await self._output("aclose").aclose(self.run_id, self.namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            await self.aclose()

    def _output(self, name: str) -> StreamOutput:
        step = context.current_step() or self._step
        if step is None or type(_get_running_loop()) is WorkflowLoop:
            where = f" of the stream {self.namespace!r}" if self.namespace else ""
            raise RuntimeError(
                f"{name}(){where} can only be called inside a step: pass what "
                "get_writable() returns to one, or call it there"
            )
        return step.output()


register_type(
    Writable,
    encode=lambda writable: [writable.run_id, writable.namespace],
    decode=lambda parts: Writable(*parts),
    name="django_workflows.Writable",
)


def get_writable(namespace: str = "") -> Writable:
    """The writing end of a stream of the calling run.

    A run has one stream per namespace; it begins with the first value written to it,
    and ends when it is closed or the run ends. In a workflow this is a handle to pass
    on, in a step one to write with.

    Raises ValueError for a namespace longer than 255 characters or with a NUL, and
    RuntimeError outside of workflows and steps.
    """
    if namespace != "":
        check_name("namespace", namespace, LONGEST_NAMESPACE)
    loop = _get_running_loop()
    if type(loop) is WorkflowLoop:
        return Writable(loop.execution.info.run_id, namespace)
    step = context.current_step()
    if step is None:
        raise RuntimeError(
            "get_writable() can only be called inside a workflow or a step"
        )
    return Writable(step.run_id, namespace)
