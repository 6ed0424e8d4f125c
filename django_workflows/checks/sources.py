"""A check of workflow source: calls that the guard would refuse when they run.

It reads only the body of each workflow function, not its helpers: the guard sees
those at run time. Names are resolved to the objects that they stand for and looked
up in the guard's own table, so that aliases are found and namesakes are not.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import BuiltinFunctionType, ModuleType
from typing import Any

from django.core import checks
from django.db.models import Model

from django_workflows.replay.definitions import Workflow
from django_workflows.replay.guard_table import (
    CLOCK,
    ENTROPY,
    HTTP,
    RANDOM,
    STEP,
    Rule,
    Table,
)
from django_workflows.replay.registry import registry

_MODULES: dict[str, tuple[str, str]] = {
    "uuid": (ENTROPY, "uuid1 uuid4"),
    "secrets": (ENTROPY, ""),
    "numpy.random": (
        RANDOM,
        """
        beta binomial bytes choice exponential gamma geometric integers normal
        permutation poisson rand randint randn random random_sample seed shuffle
        standard_normal uniform
        """,
    ),
    "django.utils.timezone": (CLOCK, "now localdate"),
    "asyncio.threads": (STEP, ""),
    "asyncio.streams": (STEP, ""),
    "asyncio.subprocess": (STEP, ""),
    "subprocess": (STEP, ""),
    "shutil": (STEP, ""),
    "tempfile": (STEP, ""),
    "requests": (HTTP, ""),
    "requests.api": (HTTP, ""),
    "httpx": (HTTP, ""),
    "httpx._api": (HTTP, ""),
    "urllib.request": (HTTP, "urlopen urlretrieve"),
    "django.core.mail": (STEP, ""),
}
"""Functions that the guard knows only by what they call, by module: the fix, and
which of them (none given: all)."""

_Function = ast.AsyncFunctionDef | ast.FunctionDef
_Functions = dict[tuple[str, int], _Function]


@checks.register("workflows")
def check_sources(**kwargs: Any) -> list[checks.CheckMessage]:
    """No workflow function itself does I/O or reads clocks or randomness."""
    table = Table()
    table.refresh()
    messages: list[checks.CheckMessage] = []
    for code in read_workflows():
        for line, rule in _findings(code, table):
            messages.append(
                checks.Warning(
                    f"{code.filename}:{line}: the workflow {code.workflow.name} uses "
                    f"{rule.call}, which the guard refuses: workflow code is run "
                    "again to continue a run.",
                    hint=rule.fix,
                    obj=code.workflow,
                    id="django_workflows.W001",
                )
            )
    return messages


@dataclass(frozen=True)
class Source:
    """The code of a workflow function, and what the names in it mean."""

    workflow: Workflow[..., Any]
    filename: str
    definition: _Function
    scope: _Scope

    def nodes(self) -> Iterator[ast.AST]:
        for statement in self.definition.body:
            yield from ast.walk(statement)


def read_workflows() -> Iterator[Source]:
    """The code of every registered workflow, where there is any to read."""
    files: dict[str, _Functions] = {}
    for workflow in registry.all_workflows():
        code = workflow.func.__code__
        filename = code.co_filename
        if filename not in files:
            files[filename] = _functions(filename, workflow.func.__globals__)
        definition = files[filename].get((code.co_name, code.co_firstlineno))
        if definition is not None:
            scope = _Scope(workflow.func, definition)
            yield Source(workflow, filename, definition, scope)


def _findings(code: Source, table: Table) -> Iterator[tuple[int, Rule]]:
    for node in code.nodes():
        if isinstance(node, ast.Call):
            rule = _call_rule(node, code.scope.resolve(node.func), table)
        elif isinstance(node, ast.Attribute):
            rule = _manager_rule(node.attr, code.scope.resolve(node.value))
        else:
            continue
        if rule is not None:
            yield node.lineno, rule


def _functions(filename: str, module: dict[str, Any]) -> _Functions:
    """The functions of a file by name and first line (decorators included); none
    where there is no source, or it was changed after it was imported."""
    return _parsed("".join(linecache.getlines(filename, module)))


# Each of several checks reads them, and `runserver` checks again and again.
@lru_cache(maxsize=1000)
def _parsed(source: str) -> _Functions:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    return {
        (node.name, min([node.lineno, *(d.lineno for d in node.decorator_list)])): node
        for node in ast.walk(tree)
        if isinstance(node, _Function)
    }


class _Path(str):
    """The dotted name of something whose module is not loaded yet."""


class _Scope:
    """What the names in a function mean: its own imports, globals, builtins."""

    def __init__(self, func: Any, definition: ast.AST) -> None:
        self._known: dict[str, Any] = {**vars(builtins), **func.__globals__}
        nodes = list(ast.walk(definition))
        for name in func.__code__.co_freevars:
            self._known.pop(name, None)
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._known.pop(node.id, None)
            elif isinstance(node, ast.arg):
                self._known.pop(node.arg, None)
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.name if alias.asname else alias.name.split(".")[0]
                    self._known[alias.asname or name] = _module(name)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    found = _member(_module(node.module), alias.name)
                    self._known[alias.asname or alias.name] = found

    def resolve(self, node: ast.expr) -> Any:
        """The object that a dotted name stands for; None if it cannot be known."""
        if isinstance(node, ast.Name):
            return self._known.get(node.id)
        if isinstance(node, ast.Attribute):
            return _member(self.resolve(node.value), node.attr)
        return None


def _module(name: str) -> Any:
    return sys.modules.get(name) or _Path(name)


def _member(owner: Any, name: str) -> Any:
    """`owner.name`; of modules and classes only, elsewhere it may run code."""
    if isinstance(owner, _Path):
        return _Path(f"{owner}.{name}")
    if isinstance(owner, ModuleType):
        # Not by getattr: that of a lazy module would import what is missing.
        return vars(owner).get(name, _Path(f"{owner.__name__}.{name}"))
    if isinstance(owner, type):
        return getattr(owner, name, None)
    return None


def _call_rule(node: ast.Call, target: Any, table: Table) -> Rule | None:
    if target is None:
        return None
    if isinstance(target, _Path):
        module, _, name = target.rpartition(".")
        return _module_rule(module, name)
    if isinstance(target, BuiltinFunctionType):
        rule = table.rule(target)
        pure = rule and rule.pure_with and len(node.args) >= rule.pure_with
        return None if pure else rule
    if target is random.Random and not node.args and not node.keywords:
        return Rule("unseeded random.Random()", RANDOM)
    owner, name = getattr(target, "__self__", None), getattr(target, "__name__", "")
    if owner is random._inst:
        return Rule(f"random.{name}()", RANDOM)
    function = vars(target).get("__init__") if isinstance(target, type) else target
    rule = table.codes.get(id(getattr(function, "__code__", None)))
    return rule or _module_rule(str(getattr(target, "__module__", "")), name)


def _module_rule(module: str, name: str) -> Rule | None:
    fix, names = _MODULES.get(module, ("", ""))
    if not fix or (names and name not in names.split()):
        return None
    return Rule(f"{module}.{name}()", fix)


def _manager_rule(name: str, owner: Any) -> Rule | None:
    if not isinstance(owner, type) or not issubclass(owner, Model):
        return None
    managers = (manager.name for manager in owner._meta.managers)
    return Rule(f"{owner.__name__}.{name}", STEP) if name in managers else None
