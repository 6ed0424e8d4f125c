"""``manage.py workflows cancel``, ``terminate``, ``pause``, ``resume``, ``retry``,
``replay`` and ``wake``."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError, CommandParser

from django_workflows.management.operator import operating
from django_workflows.management.subcommands.base import (
    BaseSubcommand,
    add_filter,
    add_json,
)

if TYPE_CHECKING:
    from django_workflows.models import Run


class _Steering(BaseSubcommand):
    """Does something to each of some runs, whatever becomes of the others."""

    done: str
    """What was done to a run, for people."""

    @abstractmethod
    def act(self, run: Run, options: argparse.Namespace) -> str | None:
        """Do it to one run; the id of the run that came of it, if one did."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which runs."""
        parser.add_argument("runs", metavar="RUN", nargs="*", help="The runs' ids.")
        add_filter(parser)
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Tell what became of each run; 1 if it could not be done to all of them."""
        from django_workflows.management.filters import filtered
        from django_workflows.models import Run
        from django_workflows.store.control.bulk import for_each
        from django_workflows.store.database import alias

        if bool(options.runs) == bool(options.filters):
            raise CommandError("Say which runs: their ids, or --filter FIELD=VALUE.")
        new: dict[str, str] = {}

        def act(run: Run) -> None:
            came_of_it = self.act(run, options)
            if came_of_it is not None:
                new[run.pk] = came_of_it

        with operating():
            if options.runs:
                result = for_each(options.runs, act)
            else:
                runs = filtered(Run.objects.using(alias()), options.filters)
                result = for_each(runs, act)
        refused = {run_id: str(error) for run_id, error in result.refused.items()}
        if options.json:
            document: dict[str, Any] = {"done": result.done, "refused": refused}
            self.output.json({**document, "started": new} if new else document)
        else:
            for run_id in result.done:
                self.output.line(f"{run_id} {self.done} {new.get(run_id, '')}".rstrip())
            if not options.runs and not result.done and not refused:
                self.output.line("There is no such run.")
        for run_id, problem in refused.items():
            self.stderr.write(f"{run_id}: {problem}")
        return 1 if refused else 0


class _WithReason(_Steering):
    def add_arguments(self, parser: CommandParser) -> None:
        """Say which runs, and why."""
        super().add_arguments(parser)
        parser.add_argument(
            "--reason", default="", metavar="TEXT", help="Kept in the runs' logs."
        )


class Cancel(_WithReason):
    """Asks runs to stop."""

    name = "cancel"
    help = "Ask runs to stop; their code may clean up first."
    done = "asked to stop"

    def act(self, run: Run, options: argparse.Namespace) -> None:
        from django_workflows.store import control

        control.cancel(run, options.reason)


class Terminate(_WithReason):
    """Ends runs at once."""

    name = "terminate"
    help = "End runs at once, without running any of their code."
    done = "terminated"

    def act(self, run: Run, options: argparse.Namespace) -> None:
        from django_workflows.store import control

        control.terminate(run, options.reason)


class Pause(_Steering):
    """Lets runs stand still."""

    name = "pause"
    help = "Let runs stand still until they are resumed."
    done = "asked to pause"

    def act(self, run: Run, options: argparse.Namespace) -> None:
        from django_workflows.store import control

        control.pause(run)


class Resume(_Steering):
    """Lets paused or blocked runs go on."""

    name = "resume"
    help = "Let paused runs go on, and try blocked ones again now."
    done = "resumed"

    def act(self, run: Run, options: argparse.Namespace) -> None:
        from django_workflows.store import control

        control.resume(run)


class Retry(_Steering):
    """Lets runs that have failed go on in place."""

    name = "retry"
    help = "Let failed, timed-out or cancelled runs go on from what ended them."
    done = "goes on"

    def act(self, run: Run, options: argparse.Namespace) -> None:
        from django_workflows.store import control

        control.retry(run)


class Replay(_Steering):
    """Starts runs once more."""

    name = "replay"
    help = "Start new runs with the input of these."
    done = "started again as"

    def act(self, run: Run, options: argparse.Namespace) -> str:
        return str(run.replay().pk)


class Wake(_Steering):
    """Ends the sleep of runs."""

    name = "wake"
    help = "End the current sleeps of runs now."
    done = "woken"

    def act(self, run: Run, options: argparse.Namespace) -> None:
        from django_workflows.store import control

        control.wake(run)
