"""How long pages of the admin take, with a million runs and their logs stored."""

from __future__ import annotations

import statistics
import time

from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.listed import fill, fill_logs
from benchmarks.output import progress
from benchmarks.stored import tidy
from django_workflows import start
from django_workflows.models import Event, Run
from django_workflows.store.paging import Cursor

#: How often each page is taken.
TIMES = 9
#: Steps of the runs of which there are very many, and of the one that is long: an event
#: each for what is created, begins and ends.
STEPS, LONG = 6, 3_333
#: What the list of runs is asked for.
LISTS = {
    "all": "",
    "status_common": "status=completed",
    "status_rare": "status=paused",
    "status_none": "status=cancelled",
    "workflow_common": "workflow=shop.orders",
    "workflow_rare": "workflow=shop.rare",
    "workflow_none": "workflow=shop.none",
    "version_rare": "workflow=shop.orders&version=2",
    "version_none": "workflow=shop.orders&version=3",
    "version_alone": "version=2",
    "version_alone_none": "version=3",
    "queue_common": "queue=default",
    "queue_rare": "queue=rare",
    "queue_none": "queue=none",
    "blocked": "blocked=yes",
    "created_within": "created_within=7d",
    "created_between": "created_after=2025-01-08T00:00&created_before=2025-01-08T01:00",
    "attribute_common": "attributes.plan=free",
    "attribute_seldom": "attributes.plan=gold",
    "attribute_rare": "attributes.customer=77",
    "attribute_late": "attributes.late=true",
    "attribute_once": "attributes.once=1",
    "attribute_none": "attributes.customer=none",
    "both_common": "status=failed&workflow=shop.orders",
    "both_rare": "status=failed&attributes.customer=79",
    "both_none": "status=failed&workflow=shop.mails",
    "search_id": "q={id}",
    "search_id_beginning": "q={beginning}",
    "search_key": "q=order-1000",
    "search_key_none": "q=order",
    "search_attribute": "q=customer%3D77",
    "search_attribute_common": "q=plan%3Dfree",
    "search_attribute_none": "q=customer%3Dnobody",
}


def console(bench: Bench, rep: int) -> None:
    """Milliseconds per page, and statements that each sends to the database."""
    count = bench.sizes.listed
    template, long = start(workflows.looked_at, STEPS), start(workflows.looked_at, LONG)
    bench.result(template)
    bench.result(long)
    template.refresh_from_db()
    progress(f"console: storing {count:,} runs")
    fill(template, count)
    progress("console: storing their logs")
    fill_logs(template, count)
    tidy()
    look(bench, rep, long, count)
    with connection.cursor() as cursor:
        # Without a look at each row, as Django would take.
        cursor.execute("DELETE FROM django_workflows_event")
        cursor.execute("DELETE FROM django_workflows_run")


def look(bench: Bench, rep: int, long: Run, count: int) -> None:
    """Take each page."""
    client = Client()
    client.force_login(User.objects.create_superuser(f"console-{rep}"))
    runs = reverse("admin:django_workflows_run_changelist")
    events = reverse("admin:django_workflows_event_changelist")
    amid = Run.objects.order_by("created_at", "id")[count // 2]
    values = {"id": amid.pk, "beginning": amid.pk[:10]}
    pages = {
        f"runs_{name}": f"{runs}?{query.format(**values)}"
        for name, query in LISTS.items()
    }
    last = Event.objects.latest("pk").pk
    pages |= {
        "runs_deep": f"{runs}?p={Cursor(False, (amid.created_at, amid.pk))}",
        "run": _run(amid),
        "run_long": _run(long),
        "events": events,
        "events_deep": f"{events}?p={Cursor(False, (last // 2,))}",
        "events_of_run": f"{events}?run={amid.pk}",
        "events_of_long": f"{events}?run={long.pk}",
        "dashboard": reverse("admin:app_list", args=["django_workflows"]),
    }
    for name, url in pages.items():
        with CaptureQueriesContext(connection) as captured:
            _get(client, url)
            statements = len(captured)
        taken = [_get(client, url) for _ in range(TIMES)]
        times = [milliseconds for milliseconds, _ in taken]
        bench.report.add(
            "console",
            name,
            statistics.median(times),
            "ms",
            rep,
            lo=round(min(times), 2),
            hi=round(max(times), 2),
            n=TIMES,
            cpu=round(statistics.median(cpu for _, cpu in taken), 2),
            statements=statements,
        )


def _run(run: Run) -> str:
    return reverse("admin:django_workflows_run_change", args=[quote(run.pk)])


def _get(client: Client, url: str) -> tuple[float, float]:
    """Milliseconds that a page took, and those of a processor in this process."""
    began, cpu = time.perf_counter(), time.process_time()
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return (time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3
