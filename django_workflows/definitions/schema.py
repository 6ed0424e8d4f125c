"""What a definition is made of: its steps and its triggers, as data.

Field names are Python's, or those of JSON in camelCase: `depends_on` and `dependsOn`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    Strict,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_serializer,
)
from pydantic.alias_generators import to_camel

#: A length of time: seconds, a timedelta or text such as "3d". That it is one is
#: checked with everything else, when the definition is registered.
DurationValue = StrictStr | StrictInt | StrictFloat | Annotated[timedelta, Strict()]
OnError = Literal["fail", "continue", "retry", "branch"]
_Name = Annotated[str, Field(min_length=1, max_length=255)]

#: Steps of one definition.
MOST_STEPS = 1000
#: Retries under `on_error="retry"`, and the wait between them, if nothing is said.
DEFAULT_RETRIES = 3
DEFAULT_RETRY_DELAY = "1s"


class Part(BaseModel):
    """A part of a definition. Fields that it does not have are refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )

    @classmethod
    def python_names(cls, given: Mapping[Any, Any]) -> dict[Any, Any]:
        """The same fields under Python's names."""
        by_alias = {to_camel(name): name for name in cls.model_fields}
        return {by_alias.get(key, key): value for key, value in given.items()}


class StepDefinition(Part):
    """A step: which action, after which steps, under which conditions.

    Raises pydantic's ValidationError for unknown fields and values of a wrong type;
    everything else is found when the definition is registered.
    """

    id: _Name
    """Its name in `depends_on`, expressions and results."""
    name: str = ""
    """What people read; the id if it is not given."""
    action: _Name
    """The method of the class, or the function registered by ``@action``."""
    params: dict[str, Any] | None = None
    """What the action is given, with `{{ }}`; the execution's input if it is None."""
    depends_on: list[str] = Field(default_factory=list)
    """Ids of the steps that come before."""
    condition: str | None = None
    """An expression; the step is skipped unless it is true."""
    wait: DurationValue | None = None
    """How long to wait before the action."""
    on_error: OnError = "fail"
    """What a failure means: fail, continue, retry or branch."""
    max_retries: Annotated[int, Strict(), Field(ge=0, lt=2**31)] | None = None
    """Attempts after the first."""
    retry_delay: DurationValue | None = None
    """The wait between attempts, always the same."""
    error_branch: _Name | None = None
    """The step, or else the action, that runs instead after a failure."""
    timeout: DurationValue | None = None
    """The longest that one attempt may take."""

    @field_serializer("wait", "retry_delay", "timeout")
    def _as_json(self, value: Any) -> Any:
        return value.total_seconds() if isinstance(value, timedelta) else value

    def model_post_init(self, context: Any, /) -> None:
        self.name = self.name or self.id

    @property
    def retries(self) -> int:
        """How often a failed attempt is followed by another."""
        if self.max_retries is not None:
            return self.max_retries
        return DEFAULT_RETRIES if self.on_error == "retry" else 0


class Trigger(Part):
    """A business event that starts the definition."""

    event: _Name
    """The name of the event, exactly."""
    condition: str | None = None
    """An expression over the fields of the event's data."""


class WorkflowDefinition(Part):
    """A whole definition. ``version`` is known once it is stored."""

    id: _Name
    name: str = ""
    steps: list[StepDefinition]
    triggers: list[Trigger] = Field(default_factory=list)
    _version: int | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self.name = self.name or self.id

    @property
    def version(self) -> int | None:
        """Its number among those of this id, from 1; None if it is not stored."""
        return self._version

    def with_version(self, version: int) -> Self:
        """The same definition as a stored version."""
        same = self.model_copy()
        same._version = version
        return same

    def content(self) -> dict[str, Any]:
        """The definition as JSON data, in camelCase, without what is not set."""
        return self.model_dump(by_alias=True, exclude_none=True)
