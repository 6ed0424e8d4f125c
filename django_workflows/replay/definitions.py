"""``@workflow`` and ``@step``: plain functions become definitions with a name."""

from __future__ import annotations

import functools
import inspect
from asyncio.events import _get_running_loop
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from django_workflows.core.expressions import compile_expression
from django_workflows.core.serialization import register_type
from django_workflows.errors import UnknownCodeError, WorkflowError
from django_workflows.replay.limits import named_key
from django_workflows.replay.loop import WorkflowLoop
from django_workflows.replay.options import (
    StartOptions,
    StepOptions,
    check_name,
)
from django_workflows.replay.registry import registry

P = ParamSpec("P")
R = TypeVar("R")


class Launcher(Protocol):
    """What definitions call in the store, which puts itself here when it loads."""

    def start(
        self,
        workflow: Workflow[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any: ...

    async def astart(
        self,
        workflow: Workflow[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any: ...

    def resume_hook(self, token: str, payload: Any) -> Any: ...

    async def aresume_hook(self, token: str, payload: Any) -> Any: ...


launcher: Launcher | None = None


def install_launcher(value: Launcher) -> None:
    global launcher
    launcher = value


def require_launcher() -> Launcher:
    """The store. Raises WorkflowError while Django's apps are not loaded."""
    if launcher is None:
        raise WorkflowError(
            "workflows can be started once Django's apps are loaded and "
            "'django_workflows' is in INSTALLED_APPS"
        )
    return launcher


class Step(Generic[P, R]):
    """A function whose every call in a workflow is recorded and retried.

    Called in a workflow it is issued at once and returns an awaitable; anywhere else
    it is the plain function. ``func`` is the undecorated function.
    """

    __name__: str

    def __init__(
        self,
        func: Callable[P, Any],
        name: str | None,
        settings: StepOptions,
        *,
        takes_class: bool = False,
    ) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        self.takes_class = takes_class
        self.name = name or f"{func.__module__}.{func.__qualname__}"
        self.settings = settings
        self.is_async = inspect.iscoroutinefunction(func)
        self.signature = inspect.signature(func)
        self._plain_arguments = _plain_arguments(self.signature)
        if settings.atomic and self.is_async:
            raise TypeError(
                f"@step(atomic=True) on the async function {self.name}: a database "
                "transaction belongs to one thread. Make the step a sync function."
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        loop = _get_running_loop()
        if type(loop) is WorkflowLoop:
            least, most = self._plain_arguments
            if kwargs or not least <= len(args) <= most:
                self.signature.bind(*args, **kwargs)
            return loop.execution.call_step(self, _to_record(self, args), kwargs)
        return self.func(*args, **kwargs)  # type: ignore[no-any-return]

    def options(self, **overrides: Any) -> Step[P, R]:
        """This step with other options for the calls made through what is returned.

        Any option of the decorator except `name`. Raises TypeError or ValueError.
        """
        other = Step.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.settings = self.settings.replaced(overrides)
        if other.settings.atomic and self.is_async:
            raise TypeError(f"atomic=True on the async step {self.name}")
        return other

    def titled(self, title: str) -> Step[P, R]:
        """This step under another name where people read of it: in the log's entries,
        and in what errors say."""
        other = self.options()
        other.settings = replace(self.settings, title=title)
        return other

    @property
    def title(self) -> str:
        """What people are told that this step is."""
        return self.settings.title or self.name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if self.takes_class:
            return BoundStep(self, type(instance) if owner is None else owner)
        return self if instance is None else BoundStep(self, instance)

    def __repr__(self) -> str:
        return f"<step {self.name}>"


class BoundStep:
    """A step looked up on an instance or a class, which becomes its first argument."""

    def __init__(self, step: Step[..., Any], owner: Any) -> None:
        self._step = step
        self._owner = owner
        self.func = functools.partial(step.func, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._step(self._owner, *args, **kwargs)

    def options(self, **overrides: Any) -> BoundStep:
        return BoundStep(self._step.options(**overrides), self._owner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)


class ClassReference:
    """A class as the first argument of a step that is a classmethod."""

    def __init__(self, module: str, qualname: str) -> None:
        self.module = module
        self.qualname = qualname

    @classmethod
    def to(cls, target: type) -> ClassReference:
        return cls(target.__module__, target.__qualname__)

    def resolve(self, step: Step[..., Any]) -> type:
        """The class, which must be one that the step was defined on.

        Raises UnknownCodeError if it is gone.
        """
        import importlib

        found: Any = importlib.import_module(self.module)
        for part in self.qualname.split("."):
            found = getattr(found, part, None)
        if not isinstance(found, type) or not _has_step(found, step):
            raise UnknownCodeError(
                f"{self.module}.{self.qualname} is no class with the step {step.name}"
            )
        return found


def _to_record(step: Step[..., Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments as they are recorded: the class that a classmethod is given, named."""
    # By its type: a lazy object would be evaluated by isinstance().
    if args and issubclass(type(args[0]), type) and _has_step(args[0], step):
        return (ClassReference.to(args[0]), *args[1:])
    return args


def _has_step(owner: type, step: Step[..., Any]) -> bool:
    """The step is defined in this class or in one that it inherits from."""
    return any(
        step.func is _function_of(member)
        for base in owner.__mro__
        for member in vars(base).values()
    )


def _function_of(member: Any) -> Any:
    """The plain function behind a step, a classmethod or both."""
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    return member.func if isinstance(member, Step) else member


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
            f"{self.name} is a workflow and cannot be called here: use "
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


def _plain_arguments(signature: inspect.Signature) -> tuple[int, int]:
    """How many positional arguments alone are enough, and at most allowed."""
    least = most = 0
    for parameter in signature.parameters.values():
        if parameter.kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            most += 1
            if parameter.default is inspect.Parameter.empty:
                least += 1
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            most = 1 << 30
        elif (
            parameter.kind is inspect.Parameter.KEYWORD_ONLY
            and parameter.default is inspect.Parameter.empty
        ):
            return (1, 0)  # never: a keyword is needed
    return (least, most)


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
    version: str = "",
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
    version: str = "",
    aliases: Iterable[str] = (),
    api: bool = False,
    on: str | None = None,
    when: str | None = None,
    **options: Any,
) -> Any:
    """Make an ``async def`` a workflow.

    Options: `name, version, aliases, queue, priority, timeout, max_concurrency,
    rate_limit, concurrency_key, retention, api, on, when`. Raises TypeError for a
    function that is not async or an unknown option, ValueError for a wrong value.
    `on` names a business event that starts it with the event's data, `when` is an
    expression over those data that has to be true.
    """
    for per_start in ("key", "delay", "on_conflict"):
        if per_start in options:
            raise TypeError(
                f"{per_start!r} belongs to a start: use .options({per_start}=...)"
            )
    start_settings = StartOptions().replaced(options)
    if isinstance(aliases, str):
        raise TypeError(f"aliases takes a list of names, not the text {aliases!r}")
    aliases = tuple(aliases)
    for other_name in aliases if name is None else (name, *aliases):
        check_name("the name of a workflow", other_name, 255)
    _check_trigger(on, when)
    if version != "":
        check_name("the version of a workflow", str(version), 64)

    def decorate(target: Any) -> Any:
        if not inspect.isfunction(target):
            raise TypeError(f"@workflow takes an async function, not {target!r}")
        if on is not None:
            _check_event_argument(target)
        key = named_key(start_settings.concurrency_key, target)
        made: Workflow[..., Any] = Workflow(
            target,
            name=name,
            version=str(version),
            aliases=aliases,
            settings=start_settings.replaced({"concurrency_key": key}),
            api=api,
            on=on,
            when=when,
        )
        registry.add_workflow(made)
        return made

    return decorate if func is None else decorate(func)


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


def _find_step(name: str) -> Step[..., Any]:
    found = registry.find_step(name)
    if found is None:
        raise UnknownCodeError(f"no step is registered as {name!r} in this process")
    return found


register_type(Step, encode=lambda step: step.name, decode=_find_step, name="step")
register_type(
    ClassReference,
    encode=lambda reference: [reference.module, reference.qualname],
    decode=lambda parts: ClassReference(*parts),
    name="class",
)

__all__ = ["Step", "Workflow", "install_launcher", "registry", "step", "workflow"]
