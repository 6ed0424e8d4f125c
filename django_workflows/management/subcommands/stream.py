"""``manage.py workflows stream``."""

from __future__ import annotations

import argparse
import json

from django.core.management.base import CommandParser

from django_workflows.management.subcommands.base import (
    BaseSubcommand,
    add_run,
    find_run,
)


class Subcommand(BaseSubcommand):
    """Prints what the steps of a run have written to a stream, and go on to write."""

    help = "Print a stream of a run, chunk by chunk, until it is closed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which stream, from where on and whether to wait for more."""
        add_run(parser)
        parser.add_argument(
            "--namespace", default="", metavar="NAME", help="Default: the empty one."
        )
        parser.add_argument(
            "--start",
            type=int,
            default=0,
            metavar="INDEX",
            help="Index of the first chunk; a negative one counts from the end.",
        )
        parser.add_argument(
            "--no-follow",
            action="store_true",
            help="Do not wait for the stream to be closed: print what there is.",
        )
        parser.add_argument(
            "--json", action="store_true", help="One line of JSON for each chunk."
        )

    def handle(self, options: argparse.Namespace) -> int:
        """Print the chunks."""
        from django_workflows.management.following import follow_stream

        run = find_run(options)
        chunks = follow_stream(
            run, options.namespace, options.start, waits=not options.no_follow
        )
        for chunk in chunks:
            if options.json:
                self.output.json_line(chunk)
            else:
                data = chunk["data"]
                self.output.line(data if isinstance(data, str) else json.dumps(data))
                self.stdout.flush()
        return 0
