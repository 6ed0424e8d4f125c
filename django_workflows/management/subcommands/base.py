"""What all subcommands of ``manage.py workflows`` have in common."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod

from django.core.management.base import CommandParser, OutputWrapper


class BaseSubcommand(ABC):
    """One subcommand; the user's mistakes are raised as ``CommandError``."""

    help: str
    """One line for ``manage.py workflows --help``."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper) -> None:
        self.stdout = stdout
        self.stderr = stderr

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the subcommand's own arguments."""
        return

    @abstractmethod
    def handle(self, options: argparse.Namespace) -> int:
        """Do it and return the exit code."""
