"""``manage.py workflows SUBCOMMAND``."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError

from django_workflows.errors import WorkflowError
from django_workflows.management import subcommands
from django_workflows.management.subcommands.base import BaseSubcommand

#: Exit codes of what was interrupted, as shells know them: 128 and the signal.
_INTERRUPTED, _NOBODY_READS = 130, 141


class Command(BaseCommand):
    """Finds the subcommands in :mod:`django_workflows.management.subcommands`."""

    help = "Run, watch and steer workflows."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The one that Django adds to a parser itself.
        self._of_django: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
            (("--skip-checks",), {"action": "store_true"})
        ]

    def add_base_argument(
        self, parser: CommandParser, *args: Any, **kwargs: Any
    ) -> None:
        """Remember Django's own options, such as ``--settings``, for the subcommands,
        behind which they are expected."""
        super().add_base_argument(parser, *args, **kwargs)
        self._of_django.append((args, kwargs))

    def add_arguments(self, parser: CommandParser) -> None:
        """Add one parser per subcommand."""
        parsers = parser.add_subparsers(
            dest="subcommand", metavar="SUBCOMMAND", required=True
        )
        self._subcommands = {
            name: found(self.stdout, self.stderr) for name, found in sorted(_find())
        }
        for name, subcommand in self._subcommands.items():
            added = parsers.add_parser(
                name, help=subcommand.help, description=subcommand.help
            )
            subcommand.add_arguments(added)
            for names, details in self._of_django:
                # What is not given here may have been given before the subcommand.
                quiet = {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
                added.add_argument(*names, **details | quiet)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand; a code other than 0 ends the process with it."""
        subcommand = self._subcommands[options["subcommand"]]
        # `call_command(stdout=...)` puts others there after the parser was made.
        subcommand.stdout, subcommand.stderr = self.stdout, self.stderr
        subcommand.no_color = options["no_color"]
        if code := _run(subcommand, argparse.Namespace(**options)):
            sys.exit(code)


def _run(subcommand: BaseSubcommand, options: argparse.Namespace) -> int:
    """The exit code. What somebody can do about is told as a ``CommandError``."""
    try:
        code = subcommand.handle(options)
        subcommand.stdout.flush()
    except WorkflowError as error:
        raise CommandError(str(error)) from error
    except (OperationalError, ProgrammingError) as error:
        said = " ".join(str(error).split())  # PostgreSQL's have lines
        raise CommandError(
            f"The database refuses: {said.rstrip('.?')}. Is it running, and are the "
            "migrations applied (manage.py migrate)?"
        ) from error
    except UnicodeEncodeError as error:
        raise CommandError(f"This is no valid text: {error.object!r}") from error
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Such as `| head`: it has what it wants, and Python shall not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    except OSError as error:
        # Such as a file system that is full.
        raise CommandError(str(error)) from error
    return code


def _find() -> Iterator[tuple[str, type[BaseSubcommand]]]:
    for module in iter_modules(subcommands.__path__):
        home = import_module(f"{subcommands.__name__}.{module.name}")
        for found in _defined_in(home):
            yield found.name or module.name.replace("_", "-"), found


def _defined_in(home: ModuleType) -> Iterator[type[BaseSubcommand]]:
    for value in vars(home).values():
        if (
            isinstance(value, type)
            and issubclass(value, BaseSubcommand)
            and value.__module__ == home.__name__
            and not inspect.isabstract(value)
        ):
            yield value
