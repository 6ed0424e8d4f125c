"""Definitions written as classes, with their actions as methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from django_workflows.definitions.schema import StepDefinition, Trigger


class DefinedWorkflow:
    """A definition and its actions in one class.

    In the `workflows.py` of an installed app it needs no registration; importing it
    touches no database. `steps` and `triggers` take objects or plain data. A subclass
    without an `id` of its own is a base for others.
    """

    id: ClassVar[str]
    name: ClassVar[str] = ""
    steps: ClassVar[Sequence[StepDefinition | Mapping[str, Any]]] = ()
    triggers: ClassVar[Sequence[Trigger | Mapping[str, Any]]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "id" in vars(cls):
            classes.add(cls)

    @classmethod
    def find_method(cls, name: str) -> Callable[..., Any] | None:
        """The action of this very name, bound to an instance of its own; or None."""
        if name in cls.method_names():
            found: Callable[..., Any] = getattr(cls(), name)
            return found
        return None

    @classmethod
    def method_names(cls) -> list[str]:
        """The names of its actions."""
        own = (name for name in dir(cls) if not hasattr(DefinedWorkflow, name))
        return [
            name
            for name in own
            if not name.startswith("_") and callable(getattr(cls, name))
        ]


class Classes:
    """The classes that this process has imported, by their ids."""

    def __init__(self) -> None:
        self._by_id: dict[str, type[DefinedWorkflow]] = {}
        self._problems: list[str] = []

    def add(self, defined: type[DefinedWorkflow]) -> None:
        known = self._by_id.get(defined.id)
        if known is not None and _name(known) != _name(defined):
            self._problems.append(
                f"Two classes define {defined.id!r}: {_name(known)} and "
                f"{_name(defined)}."
            )
        self._by_id[defined.id] = defined

    def get(self, definition_id: str) -> type[DefinedWorkflow] | None:
        return self._by_id.get(definition_id)

    def all(self) -> list[type[DefinedWorkflow]]:
        return [self._by_id[key] for key in sorted(self._by_id)]

    def problems(self) -> list[str]:
        """What is wrong with them, for the system checks."""
        return list(self._problems)


def raw_definition(defined: type[DefinedWorkflow]) -> dict[str, Any]:
    """What a class says, as data that has not been checked."""
    return {
        "id": defined.id,
        "name": defined.name,
        "steps": list(defined.steps),
        "triggers": list(defined.triggers),
    }


def _name(defined: type[DefinedWorkflow]) -> str:
    return f"{defined.__module__}.{defined.__qualname__}"


classes = Classes()
