"""What limits are counted by: the name of a step, a workflow and a concurrency key."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_workflows.replay.options import StartOptions, StepOptions
from django_workflows.replay.registry import registry

if TYPE_CHECKING:
    from django_workflows.replay.definitions import Workflow
    from django_workflows.replay.steps import Step

#: What is stored where a start lifts the limits of its workflow.
NO_LIMIT, NO_RATE = 0, "none"


@dataclass(frozen=True, slots=True)
class RunLimits:
    """The limits of a run as they are stored with it: None and "" stand for those of
    its workflow, whatever they are by the time it may begin."""

    key: str = ""
    max_concurrency: int | None = None
    rate_limit: str = ""


_UNLIMITED = RunLimits()


def limits_of_run(
    workflow: Workflow[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> RunLimits:
    """The limits of a run started with these arguments, which fit the signature.

    Raises TypeError for a concurrency key of a kind that is none, and whatever the
    workflow's function for it raises.
    """
    options = workflow.settings
    if not options.is_limited:
        return _UNLIMITED
    key = options.concurrency_key
    if isinstance(key, ArgumentKey):
        key = key.of(workflow.signature, args, kwargs)
    elif callable(key):
        key = key(*args, **kwargs)
    text = None if key is None else key_text(key)
    defined = registry.find_workflow(workflow.name, workflow.version)
    own = StartOptions() if defined is None else defined.settings
    at_once, rate = options.runs_at_once, options.rate_limit
    return RunLimits(
        _hashed("run", workflow.name, *([] if text is None else [text])),
        None if at_once == own.runs_at_once else at_once or NO_LIMIT,
        "" if rate == own.rate_limit else rate or NO_RATE,
    )


@lru_cache(maxsize=1024)
def step_limit_key(name: str) -> str:
    """What the limits of a step are counted by, across the whole deployment."""
    return _hashed("step", name)


def limits_of_call(step: Step[..., Any]) -> dict[str, Any]:
    """Those limits of a step call that are not its definition's."""
    defined = registry.find_step(step.name)
    own = StepOptions() if defined is None else defined.settings
    return {
        name: getattr(step.settings, name)
        for name in ("max_concurrency", "rate_limit")
        if getattr(step.settings, name) != getattr(own, name)
    }


@dataclass(frozen=True, slots=True)
class ArgumentKey:
    """A concurrency key that is one of the workflow's arguments, given by its name."""

    parameter: str

    def of(
        self,
        signature: inspect.Signature,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments[self.parameter]


def named_key(key: Any, function: Any) -> Any:
    """The decorator's concurrency key: a text names a parameter of the function.

    Raises ValueError for a text that does not, and TypeError for what is neither a
    text nor callable.
    """
    if key is None or callable(key):
        return key
    if not isinstance(key, str):
        raise TypeError(
            "concurrency_key of a workflow is the name of one of its parameters or a "
            f"function of its arguments, not {key!r}; a value belongs to a start: use "
            ".options(concurrency_key=...)"
        )
    known = list(inspect.signature(function).parameters)
    if key not in known:
        raise ValueError(
            f"concurrency_key {key!r} is no parameter of {function.__qualname__}(); "
            f"it has {', '.join(known) or 'none'}"
        )
    return ArgumentKey(key)


def key_text(key: Any) -> str:
    """A concurrency key as the text it is compared by.

    Raises TypeError for a value whose text does not stand for it.
    """
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str | int | UUID | Decimal | date):
        return str(key)
    if isinstance(key, tuple | list):
        return json.dumps([key_text(part) for part in key])
    raise TypeError(
        f"a concurrency key is a text, a number, a UUID, a date, an enum or a tuple of "
        f"them, not one of type {type(key).__name__}"
    )


def _hashed(*parts: str) -> str:
    text = json.dumps(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
