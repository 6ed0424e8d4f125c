"""Steps as they are defined: functions, and methods of instances and classes."""

from __future__ import annotations

import functools
import inspect
from asyncio.events import _get_running_loop
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Generic, ParamSpec, TypeVar

from django_workflows.core.serialization import register_type
from django_workflows.errors import UnknownCodeError
from django_workflows.replay.loop import WorkflowLoop
from django_workflows.replay.options import StepOptions
from django_workflows.replay.registry import registry

P = ParamSpec("P")
R = TypeVar("R")


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

    def naming(self, action: str) -> Step[P, R]:
        """This step for a call that names an action, by its `action_key`: it is left to
        a worker that knows that, too."""
        other = self.options()
        other.settings = replace(self.settings, action=action)
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
