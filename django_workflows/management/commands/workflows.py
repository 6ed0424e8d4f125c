"""``manage.py workflows SUBCOMMAND``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_workflows.management import subcommands
from django_workflows.management.subcommands.base import BaseSubcommand


class Command(BaseCommand):
    """Finds the subcommands in :mod:`django_workflows.management.subcommands`."""

    help = "Run, watch and steer workflows."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add one parser per subcommand."""
        parsers = parser.add_subparsers(
            dest="subcommand", metavar="SUBCOMMAND", required=True
        )
        self._subcommands = dict(self._find())
        for name, subcommand in self._subcommands.items():
            added = parsers.add_parser(
                name, help=subcommand.help, description=subcommand.help
            )
            subcommand.add_arguments(added)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand; a code other than 0 ends the process with it."""
        subcommand = self._subcommands[options["subcommand"]]
        # `call_command(stdout=...)` puts others there after the parser was made.
        subcommand.stdout, subcommand.stderr = self.stdout, self.stderr
        if code := subcommand.handle(argparse.Namespace(**options)):
            sys.exit(code)

    def _find(self) -> list[tuple[str, BaseSubcommand]]:
        found = []
        for module in iter_modules(subcommands.__path__):
            if module.name != "base":
                home = import_module(f"{subcommands.__name__}.{module.name}")
                subcommand = home.Subcommand(self.stdout, self.stderr)
                found.append((module.name.replace("_", "-"), subcommand))
        return sorted(found)
