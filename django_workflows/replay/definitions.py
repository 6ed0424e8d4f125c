"""``@workflow`` and ``@step``: plain functions get a name, and can be found by it."""

from __future__ import annotations

import functools
import inspect
from asyncio.events import _get_running_loop
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from django_workflows.core.attributes import plain_attributes
from django_workflows.core.expressions import compile_expression
from django_workflows.core.texts import require_text
from django_workflows.errors import WorkflowError
from django_workflows.replay.launcher import require_launcher
from django_workflows.replay.limits import named_key
from django_workflows.replay.loop import WorkflowLoop
from django_workflows.replay.options import (
    StartOptions,
    StepOptions,
    check_name,
    require_texts,
)
from django_workflows.replay.registry import registry
from django_workflows.replay.steps import Step

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Generic[P, R]):
    """A plain ``async def`` whose progress survives anything.

    Calling it in another workflow runs it as part of that one; outside, start it with
    ``start()``. ``func`` is the undecorated function.
    """

    def __init__(
        self,
        func: Callable[P, Coroutine[Any, Any, R]],
        *,
        name: str | None,
        version: str,
        aliases: tuple[str, ...],
        settings: StartOptions,
        api: bool,
        on: str | None,
        when: str | None,
    ) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        self.name = name or f"{func.__module__}.{func.__qualname__}"
        self.version = version
        self.aliases = aliases
        self.settings = settings
        self.api = api
        self.on = on
        self.when = when
        self.signature = inspect.signature(func)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        if type(_get_running_loop()) is WorkflowLoop:
            self.require_async()
            return self.func(*args, **kwargs)
        raise WorkflowError(
            f"{self.name} is a workflow and cannot be called here: start() runs it, as "
            f"start({self.func.__name__}, ...) or {self.func.__name__}.start(...)"
        )

    def require_async(self) -> None:
        """Raise TypeError if the function is not async (a system check says so too)."""
        if not inspect.iscoroutinefunction(self.func):
            raise TypeError(f"the workflow {self.name} has to be an `async def`")

    def options(self, **overrides: Any) -> Workflow[P, R]:
        """This workflow with other options for the starts made through the result.

        Takes `key, on_conflict, delay, queue, priority, attributes, timeout` and the
        other options of starting. Raises TypeError or ValueError.
        """
        other = Workflow.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.settings = self.settings.replaced(overrides)
        return other

    def start(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Start a run and return it. The same as ``start(workflow, ...)``."""
        return require_launcher().start(self, args, dict(kwargs))

    async def astart(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return await require_launcher().astart(self, args, dict(kwargs))

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"


class StepDecorator(Protocol):
    """What ``@step(...)`` with options is, for type checkers."""

    @overload
    def __call__(
        self, func: classmethod[Any, P, Any] | staticmethod[P, Any], /
    ) -> Step[P, Any]: ...
    @overload
    def __call__(self, func: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(func: classmethod[Any, P, Any] | staticmethod[P, Any], /) -> Step[P, Any]: ...
@overload
def step(func: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(func: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(*, name: str | None = None, **options: Any) -> StepDecorator: ...
def step(func: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a function a step: recorded, retried, run by a worker.

    Takes a sync or async function, method, classmethod or staticmethod. It goes above
    ``@classmethod``: below it, `options()` loses the class on Python 3.13. Options:
    `name, max_retries, retry, timeout, schedule_to_start_timeout,
    schedule_to_close_timeout, heartbeat_timeout, queue, priority, atomic, isolation,
    max_concurrency, rate_limit`. Raises TypeError or ValueError for a wrong one.
    """
    require_texts(name=name, queue=options.get("queue"))
    if name is not None:
        check_name("the name of a step", name, 255)
    step_settings = StepOptions().replaced(options)

    def decorate(target: Any) -> Any:
        kind = type(target)
        if isinstance(target, classmethod | staticmethod):
            target = target.__func__
        if not inspect.isfunction(target):
            raise TypeError(f"@step takes a function, not {target!r}")
        made: Step[..., Any] = Step(
            target, name, step_settings, takes_class=issubclass(kind, classmethod)
        )
        registry.add_step(made)
        return staticmethod(made) if issubclass(kind, staticmethod) else made

    return decorate if func is None else decorate(func)


@overload
def workflow(func: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    version: str | int = "",
    aliases: Iterable[str] = (),
    api: bool = False,
    on: str | None = None,
    when: str | None = None,
    **options: Any,
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Workflow[P, R]]: ...
def workflow(
    func: Any = None,
    /,
    *,
    name: str | None = None,
    version: str | int = "",
    aliases: Iterable[str] = (),
    api: bool = False,
    on: str | None = None,
    when: str | None = None,
    **options: Any,
) -> Any:
    """Make an ``async def`` a workflow.

    Options: `name, version, aliases, queue, priority, timeout, max_concurrency,
    rate_limit, concurrency_key, retention, api, on, when`. Raises TypeError for what is
    no function, for an unknown option and for what is no text where one is needed,
    ValueError for another wrong value. That the function is async is for a system check
    to say, and for `start()`.
    `on` names a business event that starts it with the event's data, `when` is an
    expression over those data that has to be true.
    """
    for per_start in ("key", "delay", "on_conflict"):
        if per_start in options:
            raise TypeError(
                f"{per_start!r} belongs to a start: use .options({per_start}=...)"
            )
    require_texts(name=name, on=on, when=when)
    counted = str(version) if type(version) is int else version
    version_name = require_text("the option version", counted)
    require_text("the option queue", options.get("queue", ""))
    if not isinstance(api, bool):
        raise TypeError(f"the option api is True or False, not {api!r}")
    start_settings = StartOptions().replaced(options)
    plain_attributes(start_settings.attributes)
    aliases = _names(aliases)
    for each in aliases if name is None else (name, *aliases):
        check_name("the name of a workflow", each, 255)
    _check_trigger(on, when)
    if version_name != "":
        check_name("the version of a workflow", version_name, 64)

    def decorate(target: Any) -> Any:
        if not inspect.isfunction(target):
            raise TypeError(f"@workflow takes an async function, not {target!r}")
        if on is not None:
            _check_event_argument(target)
        key = named_key(start_settings.concurrency_key, target)
        made: Workflow[..., Any] = Workflow(
            target,
            name=name,
            version=version_name,
            aliases=aliases,
            settings=start_settings.replaced({"concurrency_key": key}),
            api=api,
            on=on,
            when=when,
        )
        registry.add_workflow(made)
        return made

    return decorate if func is None else decorate(func)


def _names(aliases: Any) -> tuple[str, ...]:
    """The option `aliases`, once it is known to be names. Raises TypeError."""
    if isinstance(aliases, str) or not isinstance(aliases, Iterable):
        raise TypeError(f"the option aliases is a list of names, not {aliases!r}")
    return tuple(require_text("each of the option aliases", each) for each in aliases)


def _check_trigger(on: str | None, when: str | None) -> None:
    """Raise TypeError or ValueError for what is no event, or no condition over one."""
    if on is not None:
        check_name("the event that a workflow is started `on`", on, 255)
    if when is not None:
        if on is None:
            raise TypeError("when= is a condition on an event: name that with on=")
        compile_expression(when)


def _check_event_argument(target: Callable[..., Any]) -> None:
    try:
        inspect.signature(target).bind({})
    except TypeError as error:
        raise TypeError(
            f"{target.__qualname__} is started by an event, so it takes the event's "
            f"data as its one argument: {error}"
        ) from None


__all__ = ["Workflow", "step", "workflow"]
