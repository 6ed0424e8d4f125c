"""What can be said about a step or a workflow besides its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import Any

from django_workflows.core.durations import Duration, to_seconds
from django_workflows.core.rates import parse_rate
from django_workflows.core.retry import RetryPolicy
from django_workflows.core.texts import is_storable, require_text

ON_CONFLICT = ("return_existing", "reject", "restart_closed", "terminate_existing")
PARENT_CLOSE_POLICIES = ("cancel", "terminate", "abandon")


def _seconds(name: str, value: Duration | None) -> float | None:
    try:
        return None if value is None else to_seconds(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _refuse_unknown(
    kind: str, given: Mapping[str, Any], known: tuple[str, ...]
) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(
            f"unknown {kind} option {', '.join(map(repr, unknown))}; "
            f"known are {', '.join(known)}"
        )


def check_name(what: str, value: Any, longest: int) -> None:
    """Raise ValueError for a text that a database could not keep as it is."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} must be a text that is not empty, not {value!r}")
    if len(value) > longest:
        raise ValueError(f"{what} has {len(value)} characters, {longest} are allowed")
    if not is_storable(value):
        raise ValueError(f"{what} {value!r} has a NUL or half of a surrogate pair")


def require_texts(**options: Any) -> None:
    """Raise TypeError for an option of a decorator that is neither None nor a text."""
    for name, value in options.items():
        if value is not None:
            require_text(f"the option {name}", value)


def check_priority(value: Any) -> None:
    """Raise ValueError for what is no priority."""
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise ValueError(f"priority must be an int of 32 bits, not {value!r}")


def _check_limits(max_concurrency: Any, rate_limit: Any) -> None:
    if max_concurrency is not None and (
        type(max_concurrency) is not int or not 0 < max_concurrency < 2**31
    ):
        raise ValueError(
            f"max_concurrency must be an int of 1 or more, not {max_concurrency!r}"
        )
    if rate_limit is not None:
        try:
            parse_rate(rate_limit)
        except ValueError as error:
            raise ValueError(f"rate_limit: {error}") from None


@dataclass(frozen=True)
class StepOptions:
    """Options of one step call. Durations are in seconds."""

    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(maximum_attempts=4))
    timeout: float | None = None
    schedule_to_start_timeout: float | None = None
    schedule_to_close_timeout: float | None = None
    heartbeat_timeout: float | None = None
    queue: str | None = None
    priority: int | None = None
    atomic: bool = False
    isolation: str = "thread"
    max_concurrency: int | None = None
    rate_limit: str | None = None
    #: What people are told instead of the step's name; see `Step.titled`.
    title: str = ""
    #: The key of the action that the call names, if any; see `replay.actions`.
    action: str = ""

    def replaced(self, given: Mapping[str, Any]) -> StepOptions:
        """These options with some of them changed, in the decorator's words.

        Raises TypeError for an unknown option and ValueError for a wrong value.
        """
        _refuse_unknown("step", given, STEP_OPTION_NAMES)
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in given.items():
            if name == "max_retries":
                if type(value) is not int or value < 0:
                    raise ValueError(f"max_retries must be 0 or more, not {value!r}")
                values["retry"] = RetryPolicy(maximum_attempts=value + 1)
            elif name == "retry":
                if value is not None:
                    values["retry"] = value
            elif name.endswith("timeout"):
                values[name] = _seconds(name, value)
                if values[name] == 0:
                    raise ValueError(f"{name} must be more than 0; None is no limit")
            else:
                values[name] = value
        if "max_retries" in given and given.get("retry") is not None:
            raise TypeError("give either max_retries or retry, not both")
        if not isinstance(values["retry"], RetryPolicy):
            raise TypeError(f"retry must be a RetryPolicy, not {values['retry']!r}")
        if not isinstance(values["atomic"], bool):
            raise TypeError(f"atomic must be True or False, not {values['atomic']!r}")
        if values["isolation"] not in ("thread", "process"):
            raise ValueError(
                f"isolation must be 'thread' or 'process', not {values['isolation']!r}"
            )
        if values["queue"] is not None:
            check_name("queue", values["queue"], 100)
        if values["priority"] is not None:
            check_priority(values["priority"])
        _check_limits(values["max_concurrency"], values["rate_limit"])
        return StepOptions(**values)

    # Asked at every step of every run, and the same for all calls.

    @cached_property
    def is_limited(self) -> bool:
        """Whether how many run, or how often one starts, is limited."""
        return self.max_concurrency is not None or self.rate_limit is not None

    @cached_property
    def has_attempt_timeout(self) -> bool:
        """Whether one attempt may take too long, or be silent for too long."""
        return self.timeout is not None or self.heartbeat_timeout is not None

    @cached_property
    def has_schedule_timeout(self) -> bool:
        """Whether a call may wait too long, or take too long with all its attempts."""
        return (
            self.schedule_to_start_timeout is not None
            or self.schedule_to_close_timeout is not None
        )


STEP_OPTION_NAMES = (
    "max_retries",
    *(f.name for f in fields(StepOptions) if f.name not in ("title", "action")),
)


@dataclass(frozen=True, slots=True)
class StartOptions:
    """Options of one start of a workflow. `timeout` is in seconds."""

    key: str | None = None
    on_conflict: str = "return_existing"
    delay: Duration | datetime | None = None
    queue: str = "default"
    priority: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    retention: float | None = None
    max_concurrency: int | None = None
    rate_limit: str | None = None
    concurrency_key: Any = None
    parent_close_policy: str = "cancel"

    def replaced(self, given: Mapping[str, Any]) -> StartOptions:
        """These options with some of them changed.

        Raises TypeError for an unknown option and ValueError for a wrong value.
        """
        _refuse_unknown("workflow", given, START_OPTION_NAMES)
        values = {f.name: getattr(self, f.name) for f in fields(self)} | dict(given)
        for name in ("timeout", "retention"):
            values[name] = _seconds(name, values[name])
        for name, known in (
            ("on_conflict", ON_CONFLICT),
            ("parent_close_policy", PARENT_CLOSE_POLICIES),
        ):
            if values[name] not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, not {values[name]!r}"
                )
        if values["key"] is not None:
            check_name("key", values["key"], 255)
        check_name("queue", values["queue"], 100)
        check_priority(values["priority"])
        _check_limits(values["max_concurrency"], values["rate_limit"])
        return StartOptions(**values)

    @property
    def is_limited(self) -> bool:
        """Whether how many runs are open, or how often one begins, is limited."""
        return self.runs_at_once is not None or self.rate_limit is not None

    @property
    def runs_at_once(self) -> int | None:
        """`max_concurrency`; a concurrency key and no limit means one at a time."""
        if self.max_concurrency is None and self.rate_limit is None:
            return None if self.concurrency_key is None else 1
        return self.max_concurrency


START_OPTION_NAMES = tuple(f.name for f in fields(StartOptions))
