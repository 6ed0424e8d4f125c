"""What all subcommands of ``manage.py workflows`` have in common."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from django.core.management.base import CommandParser, OutputWrapper

if TYPE_CHECKING:
    from django_workflows.management.output import Output
    from django_workflows.models import Run

_MOST = 2**31 - 1


class BaseSubcommand(ABC):
    """One subcommand; the user's mistakes are raised as ``CommandError``, and those
    that raise a ``WorkflowError`` become one."""

    name: str = ""
    """What it is called, if not like its module."""
    help: str
    """One line for ``manage.py workflows --help``."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper) -> None:
        self.stdout = stdout
        self.stderr = stderr
        #: Whether `--no-color` was given.
        self.no_color = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the subcommand's own arguments."""
        return

    @abstractmethod
    def handle(self, options: argparse.Namespace) -> int:
        """Do it and return the exit code."""

    @property
    def output(self) -> Output:
        """What tables and JSON are written with."""
        from django_workflows.management.output import Output

        return Output(self.stdout, no_color=self.no_color)


def add_run(parser: CommandParser) -> None:
    """Add the argument RUN."""
    parser.add_argument("run", metavar="RUN", help="The run's id.")


def add_json(parser: CommandParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="Print JSON.")


def count(text: str) -> int:
    """A number of things, for argparse: one that every database takes."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:11]) <= _MOST):
        raise argparse.ArgumentTypeError(f"a number from 1 to {_MOST} is needed")
    return int(text)


def add_filter(parser: CommandParser) -> None:
    """Add ``--filter``, which `management.filters` reads."""
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        dest="filters",
        metavar="FIELD=VALUE",
        help="Only runs with this value, such as workflow=shop.order, queue=eu, "
        "status=failed,timed_out (one of them), "
        "created_before=2026-01-31T00:00Z or attributes.customer=7; may be repeated, "
        "and then all have to hold.",
    )


def find_run(options: argparse.Namespace) -> Run:
    """The run that is meant. Raises WorkflowRunNotFoundError."""
    from django_workflows.store.launching import get_run

    return get_run(options.run)
