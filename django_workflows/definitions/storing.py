"""Definitions in the database: versions that never change, and which one is current.

What a class says is current from the moment that the class is imported; its row is made
when it is first started or registered. Data that are registered under the id of a class
after that are newer than the class, until it changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from pydantic import ValidationError

from django_workflows.core.problems import problems_by_field
from django_workflows.core.texts import require_text
from django_workflows.definitions.classes import DefinedWorkflow, classes
from django_workflows.definitions.reading import Source, read_definition
from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.errors import InvalidDefinitionError
from django_workflows.models import Definition, DefinitionTrigger
from django_workflows.store.database import (
    alias,
    connection,
    database_time,
    despite_deadlocks,
    to_datetime,
)
from django_workflows.store.starting import key_hash

logger = logging.getLogger("django_workflows.definitions")

_MOST_TRIES = 10


def register(definition: Source) -> WorkflowDefinition:
    """Store a definition: an object, a class, or JSON data as they are.

    Content that is current already keeps its version, anything else becomes the next
    one. Executions that run keep theirs. Raises InvalidDefinitionError, which lists
    everything that is wrong; nothing is stored then.
    """
    read = read_definition(definition)
    is_code = isinstance(definition, type)
    return _store(read, is_code=is_code)


async def aregister(definition: Source) -> WorkflowDefinition:
    return await sync_to_async(register)(definition)


def get_definition(definition_id: str) -> WorkflowDefinition | None:
    """The newest version of a definition, with its `version`; None if there is none, or
    if it has been deleted."""
    current = current_of(definition_id)
    return None if current is None else current.definition.model_copy(deep=True)


async def aget_definition(definition_id: str) -> WorkflowDefinition | None:
    return await sync_to_async(get_definition)(definition_id)


def list_definitions() -> list[WorkflowDefinition]:
    """The newest version of each definition, by id."""
    found = _readable(look_at_definitions())
    return [each.definition.model_copy(deep=True) for each in found]


async def alist_definitions() -> list[WorkflowDefinition]:
    return await sync_to_async(list_definitions)()


def delete_definition(definition_id: str) -> bool:
    """Hide a definition: nothing starts from it any more, what runs goes on.

    Returns whether there was one. It is there again once it is registered again.
    """
    with transaction.atomic(using=alias()):
        if stored(definition_id) is None:
            return False
        rows = versions_of(definition_id).filter(deleted_at=None)
        rows.update(deleted_at=to_datetime(database_time(connection())))
    return True


async def adelete_definition(definition_id: str) -> bool:
    return await sync_to_async(delete_definition)(definition_id)


def stored(definition_id: str) -> WorkflowDefinition | None:
    """The current definition, of which there is a row now; None if there is none."""
    current = current_of(definition_id)
    return None if current is None else current.stored()


@dataclass(frozen=True, slots=True)
class Current:
    """The definition that an id means now, and the key of its row; None if there is
    none yet, as it is that of a class which was never started."""

    definition: WorkflowDefinition
    row_id: int | None

    def stored(self) -> WorkflowDefinition:
        """The definition, whose row is made now if there is none: a class has it."""
        if self.row_id is not None:
            return self.definition
        return _store(self.definition, is_code=True)


def current_of(definition_id: str) -> Current | None:
    """What an id means now; None if that is nothing, or was deleted."""
    return _current(definition_id, list(versions_of(definition_id)))


class UnreadableDefinitionError(InvalidDefinitionError):
    """Somebody has damaged what a row holds."""

    def __init__(self, row: Definition, error: ValidationError) -> None:
        said = problems_by_field(error).items()
        problems = [f"{name}: {text}" for name, texts in said for text in texts]
        super().__init__(
            f"{row} cannot be read: {'; '.join(problems)}", problems=problems
        )


def listening_definitions(event: str) -> Iterator[Current]:
    """Of what ids mean now, by id, that which an event may start."""
    ids = [defined.id for defined in classes.all() if _may_listen(defined, event)]
    listening = _triggers().filter(event_hash=key_hash(event))
    # What these listen to is in nothing but their content.
    others = _rows().filter(has_trigger_rows=False)
    hashes = listening.order_by().values_list("definition__id_hash", flat=True)
    hashes = hashes.union(others.order_by().values_list("id_hash", flat=True))
    # Since 6.1 Django sorts what it has put together by what its model is sorted by.
    wanted = {*hashes.order_by(), *map(key_hash, ids)}
    return _readable(_meant_by_all(_rows().filter(id_hash__in=wanted), ids))


def look_at_definitions() -> Iterator[Definition | WorkflowDefinition]:
    """What every id means now, by id: rows, without what they say, which may not be
    readable; and what classes say that were never started."""
    return _meant_by_all(_rows(), [defined.id for defined in classes.all()])


def _readable(found: Iterable[Definition | WorkflowDefinition]) -> Iterator[Current]:
    meant = list(found)
    keys = [each.pk for each in meant if isinstance(each, Definition)]
    contents = _rows().only("content").in_bulk(keys)
    for each in meant:
        if isinstance(each, WorkflowDefinition):
            yield Current(each, row_id=None)
            continue
        each.content = contents[each.pk].content
        try:
            yield Current(read_row(each), each.pk)
        except UnreadableDefinitionError as error:
            logger.error("the definition %s", error)


def _may_listen(defined: type[DefinedWorkflow], event: str) -> bool:
    try:
        return event in _events_of(_of_class(defined))
    except InvalidDefinitionError:
        return True  # whoever reads it will tell


def _events_of(definition: WorkflowDefinition) -> set[str]:
    return {trigger.event for trigger in definition.triggers}


def _meant_by_all(
    rows: QuerySet[Definition], of_classes: Iterable[str]
) -> Iterator[Definition | WorkflowDefinition]:
    """What the ids of rows and of classes mean now, by id."""
    by_id: dict[str, list[Definition]] = {each: [] for each in of_classes}
    # Of most versions nobody wants to know what they say.
    for row in rows.defer("content").order_by("version"):
        by_id.setdefault(row.definition_id, []).append(row)
    for definition_id in sorted(by_id):
        try:
            meant = _meant(definition_id, by_id[definition_id])
        except InvalidDefinitionError:
            # The system checks tell too. The others are not hindered.
            logger.exception("the class of the definition %r is wrong", definition_id)
            continue
        if meant is not None:
            yield meant


def _current(definition_id: str, rows: Sequence[Definition]) -> Current | None:
    """What an id means, by its rows from the oldest to the newest."""
    meant = _meant(definition_id, rows)
    if isinstance(meant, Definition):
        return Current(read_row(meant), meant.pk)
    return None if meant is None else Current(meant, row_id=None)


def _meant(
    definition_id: str, rows: Sequence[Definition]
) -> Definition | WorkflowDefinition | None:
    """The one of the rows that an id means, or what its class says if none says it."""
    meant = rows[-1] if rows else None
    defined = classes.get(definition_id)
    if defined is not None:
        definition = _of_class(defined)
        same_hash = content_hash(definition)
        said = [row for row in rows if same_hash in (row.content_hash, row.replaces)]
        if not said:
            return definition.with_version(1 if meant is None else meant.version + 1)
        since = said[-1].version
        later = [row for row in rows if not row.is_code and row.version > since]
        meant = (later or said)[-1]
    return None if meant is None or meant.deleted_at is not None else meant


def read_row(row: Definition) -> WorkflowDefinition:
    """The definition that a row holds. Raises UnreadableDefinitionError."""
    try:
        return _read(row.content).with_version(row.version)
    except ValidationError as error:
        raise UnreadableDefinitionError(row, error) from error


@lru_cache(maxsize=512)
def _read(content: str) -> WorkflowDefinition:
    return WorkflowDefinition.model_validate_json(content)


def _hash_of_class(definition_id: str) -> str:
    """The hash of what the class of this id says; empty if there is none, or none that
    makes sense."""
    defined = classes.get(definition_id)
    if defined is None:
        return ""
    try:
        return content_hash(_of_class(defined))
    except InvalidDefinitionError:
        return ""


def _of_class(defined: type[DefinedWorkflow]) -> WorkflowDefinition:
    """What a class says. Raises InvalidDefinitionError for what makes no sense."""
    definition = _checked.get(defined)
    if definition is None:
        definition = _checked[defined] = read_definition(defined)
    return definition


_checked: dict[type[DefinedWorkflow], WorkflowDefinition] = {}


def _store(definition: WorkflowDefinition, *, is_code: bool) -> WorkflowDefinition:
    database = connection()

    def store() -> WorkflowDefinition:
        with transaction.atomic(using=alias()):
            return _store_once(definition, is_code)

    for _ in range(_MOST_TRIES - 1):
        try:
            return despite_deadlocks(database, store)
        except IntegrityError:
            continue  # somebody else has stored this version meanwhile
    return despite_deadlocks(database, store)


def _store_once(definition: WorkflowDefinition, is_code: bool) -> WorkflowDefinition:
    # Locked, so that what others have committed meanwhile is seen on every database.
    newest = versions_of(definition.id).select_for_update().last()
    same_hash = content_hash(definition)
    replaces = "" if is_code else _hash_of_class(definition.id)
    if newest is not None and newest.content_hash == same_hash:
        if not newest.has_trigger_rows:
            _add_trigger_rows(newest.pk, definition)
        _rows().filter(pk=newest.pk).update(
            deleted_at=None, replaces=replaces, has_trigger_rows=True
        )
        return definition.with_version(newest.version)
    row = Definition(
        definition_id=definition.id,
        id_hash=key_hash(definition.id),
        version=1 if newest is None else newest.version + 1,
        name=definition.name,
        content=_text(definition),
        content_hash=same_hash,
        is_code=is_code,
        replaces=replaces,
        created_at=to_datetime(database_time(connection())),
        has_trigger_rows=True,
    )
    row.save(using=alias(), force_insert=True)
    _add_trigger_rows(row.pk, definition)
    return definition.with_version(row.version)


def _add_trigger_rows(row_id: int, definition: WorkflowDefinition) -> None:
    """Add the rows by which a version is found when an event happens."""
    _triggers().bulk_create(
        DefinitionTrigger(definition_id=row_id, event_hash=key_hash(event))
        for event in sorted(_events_of(definition))
    )


def content_hash(definition: WorkflowDefinition) -> str:
    return hashlib.sha256(_text(definition).encode()).hexdigest()


def _text(definition: WorkflowDefinition) -> str:
    return json.dumps(definition.content(), sort_keys=True)


def versions_of(definition_id: str) -> QuerySet[Definition]:
    """The versions of an id, from the oldest to the newest; without what they say,
    which is read for the one that is wanted. Raises TypeError for what is no text."""
    wanted = require_text("the id of a definition", definition_id)
    rows = _rows().filter(id_hash=key_hash(wanted))
    return rows.defer("content").order_by("version")


def _rows() -> QuerySet[Definition]:
    return Definition.objects.using(alias())


def _triggers() -> QuerySet[DefinitionTrigger]:
    return DefinitionTrigger.objects.using(alias())
