"""Starts runs as the deployed code does; prints their ids by what they do.

``python -m tests.rehearsal.place '{"asleep": 3, "signup": 2}' FIRST_NUMBER``
"""

from __future__ import annotations

import json
import sys

import django

import django_workflows

ORDERS = ("asleep", "on a hook", "in a step", "retrying", "packing", "straight")


def place(wanted: dict[str, int], number: int) -> dict[str, list[str]]:
    placed = {}
    for kind, count in wanted.items():
        numbers = range(number, number + count)
        if kind in ORDERS:
            runs = django_workflows.start_many(
                "rehearsed.workflows.order", [(n, kind) for n in numbers]
            )
        else:
            runs = django_workflows.start_many(
                f"rehearsed.workflows.{kind}", [(n,) for n in numbers]
            )
        placed[kind] = [run.pk for run in runs]
        number += count
    return placed


if __name__ == "__main__":
    django.setup()
    print(json.dumps(place(json.loads(sys.argv[1]), int(sys.argv[2]))))
