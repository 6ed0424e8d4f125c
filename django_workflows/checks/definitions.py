"""Checks of the registered workflows, steps and definitions themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from django.core import checks

from django_workflows.definitions.actions import action_problems
from django_workflows.definitions.classes import classes
from django_workflows.definitions.reading import examine
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import registry
from django_workflows.replay.steps import Step


@checks.register("workflows")
def check_definitions(**kwargs: Any) -> list[checks.CheckMessage]:
    """Every definition can be told from the others, imported and run."""
    return [*_not_async(), *_duplicates(), *_nested(), *_unchecked(), *_as_data()]


def _not_async() -> Iterator[checks.CheckMessage]:
    for workflow in registry.all_workflows():
        if not inspect.iscoroutinefunction(workflow.func):
            yield checks.Error(
                f"The workflow {workflow.name} is not an `async def`.",
                hint=f"Write `async def {workflow.func.__name__}(...)` and await its "
                "steps.",
                obj=workflow,
                id="django_workflows.E001",
            )


def _duplicates() -> Iterator[checks.CheckMessage]:
    for problem in registry.problems():
        yield checks.Error(
            problem.message,
            hint="Rename one of them, or give it a name of its own: "
            '`@workflow(name="...")` or `@step(name="...")`. An alias is a name too, '
            "and each version of it belongs to one workflow.",
            obj=problem.obj,
            id="django_workflows.E002",
        )


def _nested() -> Iterator[checks.CheckMessage]:
    definitions: list[Step[..., Any] | Workflow[..., Any]] = [
        *registry.all_workflows(),
        *registry.all_steps(),
    ]
    for definition in definitions:
        if "<locals>" in definition.func.__qualname__:
            yield checks.Error(
                f"{definition.name} is defined inside a function "
                f"({_place(definition.func)}): it exists only where that function "
                "has run, and a worker could not import it.",
                hint="Move it to the top level of its module, or into a class there.",
                obj=definition,
                id="django_workflows.E003",
            )


def _unchecked() -> Iterator[checks.CheckMessage]:
    open_to_all = [workflow for workflow in registry.all_workflows() if workflow.api]
    if not open_to_all:
        return
    # pydantic, which takes its time to import.
    from django_workflows.replay.arguments import unchecked_parameters

    for workflow in open_to_all:
        for name in unchecked_parameters(workflow):
            annotation = workflow.signature.parameters[name].annotation
            yield checks.Warning(
                f"{workflow.name} can be started over the API, and its parameter "
                f"{name!r} takes any value: its annotation {annotation!r} cannot be "
                "found where the function is defined, or is no type.",
                hint="Import what it names outside of `if TYPE_CHECKING:`.",
                obj=workflow,
                id="django_workflows.W003",
            )


def _as_data() -> Iterator[checks.CheckMessage]:
    """Definitions in the form of data, which are classes here, and their actions."""
    for problem in (*classes.problems(), *action_problems()):
        yield checks.Error(
            problem,
            hint="Give one of them another name.",
            id="django_workflows.E002",
        )
    for defined in classes.all():
        _, problems = examine(defined)
        for problem in problems:
            yield checks.Error(
                f"The definition {defined.id!r} cannot run: {problem}.",
                obj=defined,
                id="django_workflows.E004",
            )


def _place(func: Any) -> str:
    return f"{func.__code__.co_filename}:{func.__code__.co_firstlineno}"
