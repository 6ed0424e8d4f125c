"""What people do to definitions: done, and noted in the language of who does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.definitions.storing import (
    delete_definition,
    register,
    versions_of,
)
from django_workflows.models import Definition
from django_workflows.store.people.actors import ADDITION, DELETION, Actor


@dataclass(frozen=True, slots=True)
class Saved:
    """A definition that was registered, and its version."""

    definition: WorkflowDefinition
    row: Definition
    #: False if it was there already, as it is.
    is_news: bool


def save(actor: Actor, given: Any) -> Saved:
    """`register`. Raises InvalidDefinitionError."""

    def act() -> Saved:
        is_data = isinstance(given, Mapping)
        given_id = given.get("id") if is_data else getattr(given, "id", None)
        before = versions_of(given_id).last() if isinstance(given_id, str) else None
        made = register(given)
        row = versions_of(made.id).get(version=made.version or 0)
        if before is not None and before.pk == row.pk and before.deleted_at is None:
            return Saved(made, row, is_news=False)
        if before is None:
            actor.note(row, _("Added."), kind=ADDITION)
        else:
            said = {"version": row.version}
            actor.note(row, _("Saved version %(version)d") % said)
        return Saved(made, row, is_news=True)

    return actor.noted(act)


def delete(actor: Actor, definition_id: str) -> bool:
    """`delete_definition`."""

    def act() -> bool:
        if not delete_definition(definition_id):
            return False
        row = versions_of(definition_id).last()
        assert row is not None
        actor.note(row, _("Deleted."), kind=DELETION)
        return True

    return actor.noted(act)
