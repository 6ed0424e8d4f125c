"""What the code of a step can ask about the attempt it is running in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


class StreamOutput(Protocol):
    """Where an attempt writes to the streams of runs."""

    def write(self, run_id: str, namespace: str, value: Any) -> None: ...
    async def awrite(self, run_id: str, namespace: str, value: Any) -> None: ...
    def close(self, run_id: str, namespace: str) -> None: ...
    async def aclose(self, run_id: str, namespace: str) -> None: ...


# What is left of the metadata where the attempt is not running.
_FACTS = (
    "step_id",
    "step_name",
    "attempt",
    "started_at",
    "run_id",
    "deadline",
    "heartbeat_details",
)


@dataclass
class StepMetadata:
    """The running attempt of a step.

    ``step_id`` is the same in every attempt and unique everywhere: the idempotency key
    to hand to other systems. ``attempt`` counts from 1.
    """

    step_id: str
    step_name: str
    attempt: int
    started_at: datetime
    run_id: str
    deadline: datetime | None = None
    heartbeat_details: Any = None
    #: Facts about the run, for get_workflow_metadata().
    workflow: dict[str, Any] = field(default_factory=dict, repr=False)
    _beat: Callable[[Any], None] | None = field(default=None, repr=False)
    _lend: Callable[[], AbstractContextManager[None]] | None = field(
        default=None, repr=False
    )

    _open_output: Callable[[], StreamOutput] | None = field(default=None, repr=False)

    #: Its writes and its end are one transaction, still open.
    is_atomic: bool = field(default=False, repr=False)
    #: The root of its run, once it was asked for.
    root_id: str | None = field(default=None, repr=False)
    #: How often this attempt has started each thing.
    _starts: dict[str, int] = field(default_factory=dict, repr=False)

    def __workflow_encode__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FACTS}

    @classmethod
    def __workflow_decode__(cls, data: dict[str, Any]) -> StepMetadata:
        return cls(**data)

    def heartbeat(self, details: Any = None) -> None:
        """Say that the attempt is alive.

        `details` is any serializable value, given to the next attempt as
        ``heartbeat_details``. Raises StepCancelledError once the step is cancelled.
        """
        if self._beat is not None:
            self._beat(details)

    def output(self) -> StreamOutput:
        """Where the attempt writes to streams. Raises RuntimeError if it cannot."""
        if self._open_output is None:
            raise RuntimeError(f"step {self.step_name} cannot write to streams here")
        return self._open_output()

    def count_start(self, what: str) -> int:
        """How often this attempt has started the same before."""
        count = self._starts.get(what, 0)
        self._starts[what] = count + 1
        return count

    def waiting(self) -> AbstractContextManager[None]:
        """While this is entered the step only waits, and lends its slot to others."""
        return nullcontext() if self._lend is None else self._lend()


_current: ContextVar[StepMetadata | None] = ContextVar(
    "django_workflows_step", default=None
)


def current_step() -> StepMetadata | None:
    """The attempt that the calling code runs in, or None outside of a step."""
    return _current.get()


def enter_step(metadata: StepMetadata) -> None:
    """Make this the current attempt of the calling context, which ends with it."""
    _current.set(metadata)


def get_step_metadata() -> StepMetadata:
    """The running attempt. Raises RuntimeError outside of a step."""
    found = _current.get()
    if found is None:
        raise RuntimeError("get_step_metadata() can only be called inside a step")
    return found
