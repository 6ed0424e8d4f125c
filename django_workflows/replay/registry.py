"""Every workflow and step that this process has imported, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_workflows.errors import WorkflowNotRegisteredError
from django_workflows.replay.actions import (
    KnownActions,
    KnownSteps,
    known_steps,
    parts_of,
)

if TYPE_CHECKING:
    from django_workflows.replay.definitions import Workflow
    from django_workflows.replay.steps import Step

#: The workflow that executes declarative definitions.
EXECUTING = "django_workflows.definition"


@dataclass(frozen=True)
class RegistrationProblem:
    """A definition that cannot stand beside another one."""

    message: str
    obj: Any


class Registry:
    """Name to definition. The system checks report what could not be registered."""

    def __init__(self) -> None:
        self._workflows: dict[tuple[str, str], Workflow[..., Any]] = {}
        self._newest: dict[str, Workflow[..., Any]] = {}
        self._steps: dict[str, Step[..., Any]] = {}
        self._actions: dict[str, Callable[[], KnownActions]] = {}
        self._problems: list[RegistrationProblem] = []

    def add_workflow(self, workflow: Workflow[..., Any]) -> None:
        for name in (workflow.name, *workflow.aliases):
            key = (name, workflow.version)
            known = self._workflows.get(key)
            if known is not None and not _same_source(known.func, workflow.func):
                version = f" (version {workflow.version})" if workflow.version else ""
                self._problems.append(
                    RegistrationProblem(
                        f"Two workflows are named {name!r}{version}: "
                        f"{_claim(known, name)} and {_claim(workflow, name)}.",
                        workflow,
                    )
                )
                continue
            self._workflows[key] = workflow
            newest = self._newest.get(name)
            if newest is None or _order(workflow.version) >= _order(newest.version):
                self._newest[name] = workflow

    def add_step(self, step: Step[..., Any]) -> None:
        known = self._steps.get(step.name)
        if known is not None and not _same_source(known.func, step.func):
            self._problems.append(
                RegistrationProblem(
                    f"Two steps are named {step.name!r}: "
                    f"{_where(known.func)} and {_where(step.func)}.",
                    step,
                )
            )
            return
        self._steps[step.name] = step

    def add_actions(self, step_name: str, known: Callable[[], KnownActions]) -> None:
        """Calls of this step may name actions, of which `known` tells those that there
        are in this process."""
        self._actions[step_name] = known

    def workflow(self, name: str, version: str | None = None) -> Workflow[..., Any]:
        """The workflow of this name, in its newest version unless one is given.

        Raises WorkflowNotRegisteredError, which lists the names that are known.
        """
        found = self.find_workflow(name, version)
        if found is None:
            raise WorkflowNotRegisteredError(self._unknown(name, version))
        return found

    def _unknown(self, name: str, version: str | None) -> str:
        if name in self._newest:
            versions = [version or "none" for version in self.versions_of(name)]
            wanted = f"version {version!r}" if version else "no version"
            return (
                f"The workflow {name!r} is not registered with {wanted}. Known "
                f"versions: {', '.join(versions)}. Keep a version for as long as it "
                "has open runs."
            )
        known = ", ".join(sorted(self._newest)) or "none"
        return (
            f"No workflow is registered as {name!r}. Known: {known}. Is its module "
            "imported (workflows.py of an installed app is found by itself), or has "
            "the workflow been renamed without keeping the old name in `aliases`?"
        )

    def current_name(self, name: str) -> str:
        """What the workflow is called today that goes, or went, by this name."""
        found = self._newest.get(name)
        return name if found is None else found.name

    def names_of(self, name: str) -> list[str]:
        """This name, and all others that mean the same workflow, in any version."""
        names = [name]
        for workflow in self.all_workflows():
            own = (workflow.name, *workflow.aliases)
            if name in own:
                names += own
        return list(dict.fromkeys(names))

    def versions_of(self, name: str) -> list[str]:
        """The versions in which this process can run a workflow, the newest last."""
        return sorted((v for n, v in self._workflows if n == name), key=_order)

    def find_workflow(
        self, name: str, version: str | None = None
    ) -> Workflow[..., Any] | None:
        if version is None:
            return self._newest.get(name)
        return self._workflows.get((name, version))

    def find_step(self, name: str) -> Step[..., Any] | None:
        return self._steps.get(name)

    def workflow_keys(self) -> tuple[tuple[str, str], ...]:
        """Every (name, version) this process can run, aliases included."""
        return tuple(self._workflows)

    def find_step_of_row(self, row_name: str) -> Step[..., Any] | None:
        """The step of a row, whose name may also tell an action."""
        step_name, _action = self._parts_of(row_name)
        return self._steps.get(step_name)

    def action_of_row(self, row_name: str) -> str:
        """The action that the name of a row tells; empty if it tells none."""
        return self._parts_of(row_name)[1]

    def title_of_row(self, row_name: str) -> str:
        """What people call the step of a row: its name, or whose action it is and
        which."""
        action = self.action_of_row(row_name)
        return f"{row_name.partition('@')[2]}: {action}" if action else row_name

    def _parts_of(self, row_name: str) -> tuple[str, str]:
        step_name, action = parts_of(row_name)
        return (step_name, action) if step_name in self._actions else (row_name, "")

    def known_steps(self) -> KnownSteps:
        """The names of the rows of all steps that this process can run."""
        actions = tuple((name, known()) for name, known in self._actions.items())
        return known_steps(tuple(self._steps), actions)

    def all_workflows(self) -> list[Workflow[..., Any]]:
        return list(dict.fromkeys(self._workflows.values()))

    def all_steps(self) -> list[Step[..., Any]]:
        return list(self._steps.values())

    def problems(self) -> list[RegistrationProblem]:
        return list(self._problems)


def _order(version: str) -> tuple[tuple[int, int | str], ...]:
    """Versions compare by their numbers: 1.10 is newer than 1.9."""
    parts = version.replace("-", ".").split(".") if version else []
    return tuple((1, int(p)) if p.isdecimal() else (0, p) for p in parts)


def _same_source(first: Any, second: Any) -> bool:
    """A module that is reloaded, or run as a script, registers its own again."""
    one, two = first.__code__, second.__code__
    return bool(
        one.co_filename == two.co_filename
        and one.co_firstlineno == two.co_firstlineno
        and one.co_name == two.co_name
    )


def _claim(workflow: Workflow[..., Any], name: str) -> str:
    """Where a workflow claims a name, and if as an alias, whose."""
    where = _where(workflow.func)
    return where if name == workflow.name else f"{where} (alias of {workflow.name!r})"


def _where(func: Any) -> str:
    return f"{func.__code__.co_filename}:{func.__code__.co_firstlineno}"


registry = Registry()
