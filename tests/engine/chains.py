"""Workflows that continue as new, and the chains of runs that they make."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django_workflows import (
    continue_as_new,
    create_hook,
    get_run,
    sleep,
    step,
    workflow,
)
from django_workflows.models import Run


@step
def add(a: int, b: int) -> int:
    return a + b


@workflow
async def count_down(left: int, total: int = 0, *, note: str = "") -> dict[str, Any]:
    total = await add(total, left)
    if left:
        continue_as_new(left - 1, total, note=note + "x")
    return {"total": total, "note": note}


@workflow
async def collect(token: str, seen: list[Any], rounds: int) -> list[Any]:
    """One payload per run of the chain."""
    with create_hook(token, metadata={"round": rounds}) as hook:
        seen = [*seen, await hook]
        if rounds > 1:
            continue_as_new(token, seen, rounds - 1)
    return seen


@workflow
async def resting(naps: int) -> str:
    await sleep("1h")
    if naps > 1:
        continue_as_new(naps - 1)
    return "rested"


def chain(run: Run) -> list[Run]:
    """A run and all that followed it."""
    links = [get_run(run.pk)]
    while True:
        following = Run.objects.filter(continued_from=links[-1].pk)
        if not following:
            return links
        (link,) = following
        links.append(link)


def allowance(run: Run) -> timedelta:
    assert run.deadline_at is not None
    return run.deadline_at - run.created_at


def types(run: Run) -> list[str]:
    return [event.type for event in run.history()]
