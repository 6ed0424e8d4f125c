"""Fills the database with runs that differ in all that lists can be filtered by.

The newest is as old as the run of which they are copies, and each is a second older
than the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.output import progress
from benchmarks.stored import NUMBER, empty, fill, numbered, tidy
from django_workflows import start
from django_workflows.models import Run

#: Runs per transaction.
CHUNK = 50_000
#: Children of one run.
CHILDREN = 1_000
_JSON = {"postgresql": "jsonb", "sqlite": "text"}
#: What all lists of runs are asked for, by how many runs it leaves. "Old" is what no
#: new run has.
FILTERS = {
    "all": "",
    "status_common": "status=completed",
    "status_rare": "status=paused",
    "status_old": "status=timed_out",
    "status_none": "status=cancelled",
    "workflow_common": "workflow=shop.orders",
    "workflow_rare": "workflow=shop.rare",
    "workflow_old": "workflow=shop.former",
    "workflow_none": "workflow=shop.none",
    "queue_common": "queue=default",
    "queue_rare": "queue=rare",
    "queue_old": "queue=former",
    "queue_none": "queue=none",
    "attribute_common": "attributes.plan=free",
    "attribute_seldom": "attributes.plan=gold",
    "attribute_rare": "attributes.customer=77",
    "attribute_late": "attributes.late=true",
    "attribute_old": "attributes.early=true",
    "attribute_once": "attributes.once=1",
    "attribute_none": "attributes.customer=none",
    "created": "{created}",
    "status_workflow_common": "status=completed&workflow=shop.orders",
    "status_workflow_seldom": "status=failed&workflow=shop.orders",
    "status_workflow_rare": "status=paused&workflow=shop.orders",
    "status_workflow_old": "status=terminated&workflow=shop.orders",
    "status_workflow_none": "status=failed&workflow=shop.mails",
    "status_workflow_none_of_many": "status=completed&workflow=shop.waits",
    "status_queue_seldom": "status=failed&queue=default",
    "status_queue_old": "status=terminated&queue=default",
    "status_queue_none": "status=failed&queue=mail",
    "status_queue_none_of_many": "status=running&queue=mail",
    "workflow_queue_seldom": "workflow=shop.orders&queue=mail",
    "workflow_queue_old": "workflow=shop.orders&queue=former",
    "workflow_queue_none": "workflow=shop.mails&queue=mail",
    "status_attribute_seldom": "status=failed&attributes.plan=free",
    "status_attribute_rare": "status=failed&attributes.customer=79",
    "status_attribute_old": "status=failed&attributes.early=true",
    "status_attribute_none": "status=failed&attributes.plan=gold",
    "workflow_attribute_seldom": "workflow=shop.mails&attributes.plan=paid",
    "workflow_attribute_rare": "workflow=shop.orders&attributes.customer=79",
    "workflow_attribute_old": "workflow=shop.orders&attributes.early=true",
    "workflow_attribute_none": "workflow=shop.mails&attributes.plan=gold",
    "queue_attribute_none": "queue=mail&attributes.plan=gold",
    "attributes_none": "attributes.plan=gold&attributes.customer=76",
    "status_created": "status=failed&{created}",
    "workflow_created": "workflow=shop.mails&{created}",
    "queue_created": "queue=mail&{created}",
    "attribute_created": "attributes.plan=gold&{created}",
    "three_seldom": "status=failed&workflow=shop.orders&queue=default",
    "three_none": "status=failed&workflow=shop.orders&queue=mail",
}


@contextmanager
def many_runs(bench: Bench, steps: int) -> Iterator[Run]:
    """Very many runs of so many steps, with their logs, until the block is left: the
    one of which the others are copies."""
    count = bench.sizes.listed
    template = start(workflows.looked_at, steps)
    bench.result(template)
    template.refresh_from_db()
    progress(f"storing {count:,} runs of {steps} steps")
    fill(
        template,
        1,
        count,
        chunk=CHUNK,
        columns=_columns(count),
        later=f"{_second(count)} - {count}",
    )
    tidy()
    try:
        yield template
    finally:
        empty()


def copy_id(template: Run, number: int) -> str:
    """The id of one of those runs: the higher the number, the newer it is."""
    return f"{template.pk[:-7]}{number:07d}"


def copy_of(template: Run, number: int) -> Run:
    """One of those runs."""
    return Run.objects.get(pk=copy_id(template, number))


def created(template: Run, count: int) -> str:
    """The parameters that choose the runs of an hour; a quarter of all is older."""
    after = copy_of(template, count // 4).created_at.replace(tzinfo=None)
    before = after + timedelta(hours=1)
    return f"created_after={after.isoformat()}Z&created_before={before.isoformat()}Z"


def ties(count: int) -> range:
    """The numbers of runs of exactly the same age."""
    return range(count * 60 // 100, count * 65 // 100)


def family(count: int) -> tuple[int, range]:
    """The number of a run with children, and those of its children."""
    parent = count * 70 // 100
    return parent, range(parent + 1, parent + 1 + min(CHILDREN, count // 100))


def _second(count: int) -> str:
    """When a run was created, in seconds: its number, but for the ties."""
    same = ties(count)
    return f"CASE WHEN {_within(same)} THEN {same[0]} ELSE {NUMBER} END"


def _within(numbers: range) -> str:
    return f"{NUMBER} BETWEEN {numbers[0]} AND {numbers[-1]}"


def _columns(count: int) -> dict[str, str]:
    """What differs from run to run: SQL that both databases know.

    Of 100 runs ten wait, four have failed, and four were terminated: long ago those of
    `shop.orders` in the usual queue, of late those of `shop.bills` in their own. Those
    that send mails are others than those in the queue `mail`, and none of them has
    failed. Attributes: `plan` has few values, one of them common; `customer` has many;
    `late` is common, and no early run has it; with `early` it is the other way round;
    `once` is on a single run; one in a thousand is of a schedule.
    """
    n, half = NUMBER, count // 2
    blocked, paused = f"{n} % 20000 = 11", f"{n} % 100000 = 3"
    waits, failed, terminated = f"{n} % 10 = 6", f"{n} % 25 = 4", f"{n} % 25 = 9"
    bills, former = f"{terminated} AND {n} > {half}", f"{n} < {count // 4}"
    parent, children = family(count)
    the_parent = numbered("t.id", str(parent))
    child = f"CASE WHEN {_within(children)} THEN {the_parent} END"
    attributes = f"""'{{"customer": ' || ({n} % 100000) || ', "plan": "' ||
        CASE WHEN {n} % 2 = 0 THEN 'free' WHEN {n} % 100 = 5 THEN 'gold' ELSE 'paid' END
        || CASE WHEN {n} > {half} THEN '", "late": true' ELSE '", "early": true' END
        || CASE WHEN {n} % 1000 = 500 THEN ', "schedule": "nightly"' ELSE '' END
        || CASE WHEN {n} = {count - 5} THEN ', "once": 1}}' ELSE '}}' END"""
    return {
        "workflow": f"""CASE WHEN {n} % 10000 = 7 THEN 'shop.rare'
            WHEN {n} % 10 = 1 THEN 'shop.mails' WHEN {waits} THEN 'shop.waits'
            WHEN {bills} THEN 'shop.bills'
            WHEN {former} AND {n} % 2 = 0 THEN 'shop.former' ELSE 'shop.orders' END""",
        "status": f"""CASE WHEN {paused} THEN 'paused'
            WHEN {blocked} OR {waits} THEN 'running' WHEN {failed} THEN 'failed'
            WHEN {terminated} THEN 'terminated'
            WHEN {former} AND {n} % 25 = 12 THEN 'timed_out' ELSE 'completed' END""",
        "finished_at": f"""CASE WHEN {paused} OR {blocked} OR {waits} THEN NULL
            ELSE {{}} END""",
        "is_waiting": f"({waits})",
        "blocked_times": f"CASE WHEN {blocked} THEN 1 ELSE 0 END",
        "blocked_reason": f"CASE WHEN {blocked} THEN 'other code' ELSE '' END",
        "version": f"""CASE WHEN {n} % 1000 = 13 THEN '2'
            WHEN {n} < {half} AND {n} % 2 = 0 THEN '1' ELSE '' END""",
        "queue": f"""CASE WHEN {n} % 10000 = 8 THEN 'rare' WHEN {n} % 10 = 2 THEN 'mail'
            WHEN {bills} THEN 'bills' WHEN {former} AND {n} % 10 = 7 THEN 'former'
            ELSE 'default' END""",
        "start_key": f"CASE WHEN {n} % 2 = 0 THEN 'order-' || ({n} / 4) END",
        "parent_id": child,
        "root_id": child,
        "attributes": f"CAST({attributes} AS {_JSON[connection.vendor]})",
    }
