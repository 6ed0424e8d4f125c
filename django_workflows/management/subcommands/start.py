"""``manage.py workflows start``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_workflows.management.operator import operating
from django_workflows.management.subcommands.base import BaseSubcommand, add_json


class Subcommand(BaseSubcommand):
    """Starts a run."""

    help = "Start a run of a workflow; its arguments are checked first."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what to start, with which arguments and options."""
        parser.add_argument("workflow", metavar="NAME", help="The workflow's name.")
        parser.add_argument(
            "--arg",
            action="extend",
            nargs="+",
            type=_value,
            default=[],
            dest="args_given",
            metavar="JSON",
            help="Arguments by their place, each as JSON: 42, true, '\"text\"'.",
        )
        parser.add_argument(
            "--kwarg",
            action="extend",
            nargs="+",
            type=_named_value,
            default=[],
            dest="kwargs_given",
            metavar="NAME=JSON",
            help="Arguments by their names: express=true.",
        )
        parser.add_argument(
            "--key", metavar="TEXT", help="Idempotency key; a run that has it is shown."
        )
        parser.add_argument("--queue", metavar="NAME", help="Task queue.")
        parser.add_argument(
            "--delay", metavar="10m", help="When it begins: a duration or a time."
        )
        parser.add_argument(
            "--attribute",
            action="extend",
            nargs="+",
            type=_named_value,
            default=[],
            dest="attributes",
            metavar="NAME=JSON",
            help="Searchable attributes of the run: customer=7.",
        )
        add_json(parser)

    def handle(self, options: argparse.Namespace) -> int:
        """Start it and print the run."""
        from rest_framework.exceptions import ValidationError

        from django_workflows.api.serializers import run_detail
        from django_workflows.api.starting import StartSerializer, start_run
        from django_workflows.replay.starts import find_workflow

        given: dict[str, Any] = {
            "workflow": options.workflow,
            "args": options.args_given,
            "kwargs": _by_name("--kwarg", options.kwargs_given),
            "attributes": _by_name("--attribute", options.attributes),
        }
        for name in ("key", "queue", "delay"):
            if (value := getattr(options, name)) is not None:
                given[name] = value
        try:
            serializer = StartSerializer(data=given)
            serializer.is_valid(raise_exception=True)
            with operating():
                run, is_new = start_run(
                    serializer.validated_data,
                    lambda run: None,
                    lambda name: find_workflow(name, "start"),
                )
        except ValidationError as error:
            raise CommandError(_told(error)) from None
        if options.json:
            self.output.json(run_detail(run, {}))
        elif is_new:
            self.output.line(f"{run.pk} started")
        else:
            self.output.line(f"{run.pk} has this key already; it is {run.status}")
        return 0


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} has half of a surrogate pair"
        ) from None
    except (ValueError, RecursionError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no JSON. Text is JSON in double quotes: '{json.dumps(text)}'"
        ) from None
    return value


def _named_value(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=JSON")
    return name, _value(value)


def _by_name(option: str, given: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(given)
    if len(named) < len(given):
        raise CommandError(f"{option}: a name is given twice.")
    return named


def _told(error: Any) -> str:
    """What is wrong, part by part."""
    lines = [f"  {name}: {_joined(found)}" for name, found in error.detail.items()]
    return "\n".join(["The workflow was not started:", *lines])


def _joined(found: Any) -> str:
    if isinstance(found, dict):
        return "; ".join(f"{name}: {_joined(part)}" for name, part in found.items())
    if isinstance(found, list):
        return " ".join(map(_joined, found))
    return str(found)
