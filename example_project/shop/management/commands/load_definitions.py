"""`manage.py load_definitions`: register the processes in `shop/definitions/`.

Run it with each deploy, after `migrate`: what has not changed keeps its version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_workflows.definitions import InvalidDefinitionError, register

FOLDER = Path(__file__).resolve().parents[2] / "definitions"


class Command(BaseCommand):
    help = "Register the definitions of the shop's processes."

    def handle(self, *args: Any, **options: Any) -> None:
        for path in sorted(FOLDER.glob("*.json")):
            try:
                definition = register(json.loads(path.read_text()))
            except InvalidDefinitionError as error:
                problems = "\n  ".join(error.problems)
                raise CommandError(f"{path.name} is refused:\n  {problems}") from None
            self.stdout.write(f"{definition.id}: version {definition.version}")
