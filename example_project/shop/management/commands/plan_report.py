"""`manage.py plan_report`: have the nightly report's schedule."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...reports import CRON, plan


class Command(BaseCommand):
    help = "Schedule the nightly report, or move it; running it again changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--cron", default=CRON, help=f"when (default: {CRON!r})")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            schedule = plan(options["cron"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(f"The next report is due at {schedule.next_run_at}.")
