"""What definitions call in the store, which lies above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django_workflows.errors import WorkflowError

if TYPE_CHECKING:
    from django_workflows.replay.definitions import Workflow


class Launcher(Protocol):
    """Starts runs and resumes hooks."""

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


_launcher: Launcher | None = None


def install_launcher(value: Launcher) -> None:
    """Done by the store when it loads."""
    global _launcher
    _launcher = value


def require_launcher() -> Launcher:
    """The store. Raises WorkflowError while Django's apps are not loaded."""
    if _launcher is None:
        raise WorkflowError(
            "workflows can be started once Django's apps are loaded and "
            "'django_workflows' is in INSTALLED_APPS"
        )
    return _launcher
