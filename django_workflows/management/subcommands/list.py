"""``manage.py workflows list``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from django_workflows.management.subcommands.base import (
    BaseSubcommand,
    add_filter,
    add_json,
    count,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from django_workflows.models import Run

#: Runs listed if nothing else is said.
_LIMIT = 100
_COLUMNS = ("id", "workflow", "status", "created", "finished", "key", "attributes")
#: Those that a narrow terminal may do without, the most wanted first.
_SPARE = ("workflow", "created", "key", "attributes", "finished")


class Subcommand(BaseSubcommand):
    """Lists runs, the newest first."""

    help = "List runs, the newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which runs, and how many."""
        parser.add_argument(
            "--status",
            metavar="STATUS",
            help="Only runs that are so; failed,timed_out are either.",
        )
        parser.add_argument("--workflow", metavar="NAME", help="Only runs of this one.")
        add_filter(parser)
        parser.add_argument(
            "--limit",
            type=count,
            metavar="N",
            default=_LIMIT,
            help=f"How many at most. Default: {_LIMIT}.",
        )
        parser.add_argument(
            "--after",
            metavar="RUN",
            help="Go on behind this run: the last one of the page before.",
        )
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Print a page of runs."""
        from django_workflows.api.serializers import RunSerializer
        from django_workflows.management.filters import filtered, kinds
        from django_workflows.models import Run
        from django_workflows.store.database import alias
        from django_workflows.store.launching import get_run
        from django_workflows.store.paging import Cursor, read_page

        also = {"status": options.status, "workflow": options.workflow}
        filters = [f"{name}={v}" for name, v in also.items() if v is not None]
        filters += options.filters
        runs: QuerySet[Run] = filtered(Run.objects.using(alias()), filters)
        cursor = None
        if options.after is not None:
            last = get_run(options.after)
            cursor = Cursor(is_backward=False, values=(last.created_at, last.pk))
        page = read_page(
            runs,
            ("created_at", "id"),
            cursor,
            is_descending=True,
            size=options.limit,
            kinds=kinds(filters),
        )
        shown = page.rows
        documents = RunSerializer(shown, many=True).data
        if options.json:
            self.output.json(documents)
            return 0
        self.output.table(_COLUMNS, map(_row, shown, documents), _SPARE)
        if page.next is not None:
            self.output.line(f"There are more: add --after {shown[-1].pk}")
        return 0


def _row(run: Run, document: Mapping[str, Any]) -> tuple[Any, ...]:
    is_blocked = bool(run.blocked_reason) and not run.is_closed
    return (
        run.pk,
        run.workflow,
        "blocked" if is_blocked else run.status,
        run.created_at,
        run.finished_at,
        run.key,
        document["attributes"],
    )
