"""The runs that a run has to do with: parents, children as a tree, and its chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from django_workflows.admin.run_page.subject import Subject
from django_workflows.models import Event, Run
from django_workflows.replay import events as log
from django_workflows.store.chains import current_run_id
from django_workflows.store.database import alias

#: Runs of the tree shown at each depth, and how deep it goes.
MOST = 50
DEPTH = 3
#: Children are counted no further than this.
COUNTED = 1_000


@dataclass(slots=True)
class Branch:
    """A run of the tree and, as far as they are shown, its children."""

    run: Run
    children: list[Branch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many children there are, by status."""

    by_status: list[tuple[str, str, int]]
    #: There are more, which are not counted.
    is_cut: bool


def panel(subject: Subject) -> dict[str, Any] | None:
    """What there is of a family; a fixed number of queries, however large it is."""
    run = subject.run
    relatives = _relatives(run)
    tree = tree_of(run)
    shown = {
        "parent": relatives.get(run.parent_id or ""),
        "root": relatives.get(run.root_id or "") if _has_grandparent(run) else None,
        "continued_from": relatives.get(run.continued_from_id or ""),
        **_goes_on_as(run),
        **_copied_from(run),
    }
    if not tree and not any(shown.values()):
        return None
    counts = count(run) if tree else None
    return {
        "title": _("Related runs"),
        **shown,
        "has_facts": any(shown.values()),
        "tree": tree,
        "counts": counts,
        "shows_all": len(tree) < MOST,
    }


def tree_of(run: Run) -> list[Branch]:
    """The first children of a run, and theirs, with a query for each depth."""
    top = Branch(run)
    above = {run.pk: top}
    for _depth in range(DEPTH):
        below = {}
        children = _rows(_runs().filter(parent_id__in=list(above)).order_by("pk"))
        for child in children[:MOST]:
            below[child.pk] = Branch(child)
            above[str(child.parent_id)].children.append(below[child.pk])
        if not below:
            break
        above = below
    return top.children


def count(run: Run) -> Counts:
    """The statuses of a run's children, of the first `COUNTED` at least."""
    children = _runs().filter(parent_id=run.pk)
    statuses = list(children.values_list("status", flat=True)[: COUNTED + 1])
    counted = Counter(statuses[:COUNTED])
    by_status = [
        (str(status), str(status.label), counted[status])
        for status in Run.Status
        if counted[status]
    ]
    return Counts(by_status, len(statuses) > COUNTED)


def _runs() -> QuerySet[Run]:
    return Run.objects.using(alias())


def _rows(runs: QuerySet[Run]) -> QuerySet[Run]:
    shown = ("workflow", "attributes", "status", "blocked_reason", "is_waiting")
    return runs.only(*shown, "parent", "created_at", "finished_at")


def _relatives(run: Run) -> dict[str, Run]:
    ids = {run.parent_id, run.root_id, run.continued_from_id} - {None, run.pk}
    return _by_id(ids)


def _by_id(ids: Iterable[str | None]) -> dict[str, Run]:
    return {found.pk: found for found in _rows(_runs().filter(pk__in=list(ids)))}


def _has_grandparent(run: Run) -> bool:
    return run.root_id not in (None, run.pk, run.parent_id)


def _goes_on_as(run: Run) -> dict[str, Run | None]:
    """The run that continues it, and the last one of the chain, if that is another."""
    if run.status != Run.Status.CONTINUED_AS_NEW:
        return {"goes_on_as": None, "current": None}
    following = _rows(_runs().filter(continued_from_id=run.pk)).first()
    current_id = current_run_id(run.pk)
    is_next = following is None or current_id == following.pk
    current = None if is_next else _by_id([current_id]).get(current_id)
    return {"goes_on_as": following, "current": current}


def _copied_from(run: Run) -> dict[str, str]:
    """The ids of the runs that it is a replay or a fork of."""
    created = Event.objects.using(alias()).filter(run_id=run.pk, type=log.RUN_CREATED)
    first = created.defer("payload").first()
    details = {} if first is None else first.details
    return {
        "replayed_from": details.get("replayed_from", ""),
        "forked_from": details.get("forked_from", ""),
    }
