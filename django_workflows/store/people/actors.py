"""Users who do something, in whose names it is told: by the logs of runs, and by
Django's log of admin actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import Model
from django.db.transaction import atomic

from django_workflows.core.authorship import ADMIN, API, done_by
from django_workflows.store.database import alias, connection, despite_deadlocks
from django_workflows.store.people.words import Word, untranslated

Result = TypeVar("Result")

#: Kinds of notes. Without the admin they cannot be imported from its log.
ADDITION, CHANGE, DELETION = 1, 2, 3
#: How notes begin that were not made in the admin.
OVER_API = "Over the API: "


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever does something."""

    #: For the logs of runs; empty if it is not known.
    name: str
    #: How they have come: one of those in `core.authorship`.
    way: str
    #: For Django's log of admin actions; None if nothing is noted there.
    user_id: Any

    @property
    def of_runs(self) -> Actor:
        """The same for what is done to runs. Over the API that may be any number of
        things, which only the runs' own logs tell: the admin's has no index by what its
        notes are about, and is kept for ever."""
        return replace(self, user_id=None) if self.way == API else self

    def acting(self) -> AbstractContextManager[None]:
        """Let the logs of runs tell what is done to them meanwhile under this name."""
        return done_by(self.name, self.way)

    def noted(self, action: Callable[[], Result]) -> Result:
        """Do what changes something and notes it, in a `transaction`; again, if the
        database gave it up."""

        def act() -> Result:
            with self.acting(), self.transaction():
                return action()

        return despite_deadlocks(connection(), act)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let what is changed and noted meanwhile be stored, both or nothing, where one
        transaction can hold both."""
        names = () if self.user_id is None else (_log_database(), alias())
        with ExitStack() as transactions:
            for name in dict.fromkeys(names):
                transactions.enter_context(atomic(using=name))
            yield

    def note(
        self, row: Model, done: Word, more: str = "", *, kind: int = CHANGE
    ) -> None:
        """Note what was done to a row, and what there is to say about that."""
        if self.user_id is None:
            return
        from django.contrib.admin.models import LogEntry

        said = untranslated(done)
        text = f"{said}: {more}" if more else said
        if self.way == API:
            text = f"{OVER_API}{text}"
        LogEntry.objects.log_actions(
            self.user_id, [row], kind, text, single_object=True
        )


def actor_of(user: object, way: str = ADMIN) -> Actor:
    """The user who makes a request.

    The admin's log knows nothing of users who are no rows of the project's user model,
    and of anybody in a project without the admin.
    """
    has_row = (
        apps.is_installed("django.contrib.admin")
        and isinstance(user, get_user_model())
        and not user._state.adding
    )
    return Actor(_name_of(user), way, user.pk if has_row else None)  # type: ignore[attr-defined]


def _name_of(user: object) -> str:
    """A user's name, be it no text; empty for nobody, and for those who have none."""
    get_username = getattr(user, "get_username", None)
    name = None if get_username is None else get_username()
    return "" if name is None else str(name)


def _log_database() -> str:
    from django.contrib.admin.models import LogEntry

    return router.db_for_write(LogEntry)
