"""How long pages of the admin take, with a million runs and their logs stored."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.beside import things_beside
from benchmarks.listed import FILTERS, copy_of, created, family, many_runs
from benchmarks.output import progress
from benchmarks.pages import take
from django_workflows import start
from django_workflows.admin.addresses import hook_url, run_url
from django_workflows.admin.dashboard.periods import PERIODS
from django_workflows.models import Definition, Event, Hook, Run, Schedule, Worker
from django_workflows.store.paging import Cursor

#: Steps of the runs of which there are very many, and of the one that is long: an event
#: each for what is created, begins and ends.
STEPS, LONG = 6, 3_333
#: What the list of runs can be asked for besides `FILTERS`.
OTHERS = {
    "created_within": "created_within=1d",
    "failures": "status=failed,timed_out",
    "failures_created": "status=failed,timed_out&created_within=1d",
    "failures_workflow_seldom": "status=failed,timed_out&workflow=shop.orders",
    "failures_workflow_none": "status=failed,timed_out&workflow=shop.mails",
    "failures_queue_none": "status=failed,timed_out&queue=mail",
    "failures_attribute_none": "status=failed,timed_out&attributes.plan=gold",
    "blocked": "blocked=yes",
    "blocked_workflow": "blocked=yes&workflow=shop.mails",
    "blocked_none": "blocked=yes&workflow=shop.orders",
    "children": "parent={parent}",
    "children_seldom": "parent={parent}&status=failed",
    "children_none": "parent={parent}&status=paused",
    "version_rare": "workflow=shop.orders&version=2",
    "version_old": "workflow=shop.orders&version=1",
    "version_none": "workflow=shop.orders&version=3",
    "version_alone_rare": "version=2",
    "version_alone_old": "version=1",
    "version_alone_none": "version=3",
    "version_status_seldom": "workflow=shop.orders&version=1&status=failed",
    "version_status_none": "workflow=shop.orders&version=2&status=failed",
    "version_queue_none": "workflow=shop.orders&version=2&queue=mail",
    "version_attribute_none": "version=2&attributes.plan=gold",
    "search_id": "q={id}",
    "search_id_beginning": "q={beginning}",
    "search_id_of_all": "q=wrun_",
    "search_id_none": "q=wrun_0",
    "search_key": "q=order-1000",
    "search_key_none": "q=order",
    "search_attribute": "q=customer%3D77",
    "search_attribute_common": "q=plan%3Dfree",
    "search_attribute_old": "q=early%3Dtrue",
    "search_attribute_none": "q=customer%3Dnobody",
    "search_status_none": "q=plan%3Dgold&status=failed",
}


def console(bench: Bench, rep: int) -> None:
    """Milliseconds per page, and statements that each sends to the database."""
    long = start(workflows.looked_at, LONG)
    bench.result(long)
    with (
        many_runs(bench, STEPS) as template,
        things_beside(template, bench.sizes.listed),
    ):
        look(bench, rep, template, long)


def look(bench: Bench, rep: int, template: Run, long: Run) -> None:
    """Take each page."""
    client = Client()
    client.force_login(User.objects.create_superuser(f"console-{rep}"))
    progress("console: taking pages")
    for name, url in _pages(template, long, bench.sizes.listed):
        take(bench, "console", name, rep, partial(_get, client, url))


def _pages(template: Run, long: Run, count: int) -> Iterator[tuple[str, str]]:
    yield from _lists(template, count)
    yield from _runs(template, long, count)
    yield from _events(template, long, count)
    yield from _others(template, count)


def _lists(template: Run, count: int) -> Iterator[tuple[str, str]]:
    """The first page of each choice of runs, and one in the middle of all runs."""
    url = _url("run", "changelist")
    amid = copy_of(template, count // 2)
    values = {
        "id": amid.pk,
        "beginning": amid.pk[:-2],
        "parent": copy_of(template, family(count)[0]).pk,
        "created": created(template, count),
    }
    place = (amid.created_at, amid.pk)
    for name, query in {**FILTERS, **OTHERS}.items():
        chosen = f"{url}?{query.format(**values)}"
        yield f"runs_{name}", chosen
        yield f"runs_{name}_deep", f"{chosen}&p={Cursor(False, place)}"
    yield "runs_back", f"{url}?p={Cursor(True, place)}"


def _runs(template: Run, long: Run, count: int) -> Iterator[tuple[str, str]]:
    """The pages of runs, and what can be chosen there."""
    parent, children = family(count)
    for name, number in {
        "any": count // 2,
        "parent": parent,
        "child": children[0],
        "waiting": count // 10 * 10 - 4,
        "scheduled": count // 2 + 500,
    }.items():
        yield f"run_{name}", run_url(copy_of(template, number))
    step = Event.objects.filter(run=long, type="step_created").order_by("seq")[
        LONG // 2
    ]
    for name, query in {
        "": "",
        "_events_deep": "after=5000",
        "_events_last": "before=999999999",
        "_events_of_type": "type=step_completed",
        "_events_of_type_deep": "type=step_completed&after=5000",
        "_events_of_type_none": "type=step_failed",
        "_events_of_step": f"of={step.correlation_id}",
        "_steps_deep": f"steps={LONG // 2}",
        "_step": f"step={step.correlation_id}",
        "_steps_failed": "show=failed",
        "_timeline_deep": f"row={LONG // 2}",
        "_timeline_part": "from=1&to=2",
    }.items():
        yield f"run_long{name}", f"{run_url(long)}?{query}"
    yield "run_long_fork", run_url(long, "fork")


def _events(template: Run, long: Run, count: int) -> Iterator[tuple[str, str]]:
    """The lists of events, and an event."""
    url = _url("event", "changelist")
    amid = Event.objects.get(run=copy_of(template, count // 2), seq=1)
    yield "events", url
    yield "events_deep", f"{url}?p={Cursor(False, (amid.pk,))}"
    yield "events_back", f"{url}?p={Cursor(True, (amid.pk,))}"
    for name, run in {"run": amid.run_id, "long": long.pk, "nobody": "wrun_0"}.items():
        yield f"events_of_{name}", f"{url}?run={run}"
        yield f"events_searched_of_{name}", f"{url}?q={run}"
        for kind in ("run_completed", "step_failed"):
            yield f"events_of_{name}_{kind}", f"{url}?run={run}&type={kind}"
    yield "events_of_long_deep", f"{url}?run={long.pk}&p={Cursor(False, (5_000,))}"
    yield "event", _url("event", "change", amid.pk)


def _others(template: Run, count: int) -> Iterator[tuple[str, str]]:
    """The other lists with a page of each, the dashboard, and where runs start."""
    hook = Hook.objects.get(run=copy_of(template, count // 10 * 10 // 2 + 6))
    hooks = _url("hook", "changelist")
    yield "hooks", hooks
    yield "hooks_deep", f"{hooks}?p={Cursor(False, (hook.created_at, hook.pk))}"
    yield "hooks_plain", f"{hooks}?kind=plain"
    yield "hooks_webhooks_none", f"{hooks}?kind=webhook"
    yield "hooks_of_run", f"{hooks}?q={hook.run_id}"
    yield "hook", hook_url(hook)
    for model, row in {
        "schedule": Schedule.objects.get(name="nightly"),
        "definition": Definition.objects.latest("pk"),
        "worker": Worker.objects.filter(host="gone").latest("pk"),
    }.items():
        yield f"{model}s", _url(model, "changelist")
        yield model, _url(model, "change", row.pk)
    yield "schedules_searched", f"{_url('schedule', 'changelist')}?q=report-77"
    yield "definitions_searched", f"{_url('definition', 'changelist')}?q=benchmarks-77"
    yield "workers_running", f"{_url('worker', 'changelist')}?state=running"
    yield "workers_stopped", f"{_url('worker', 'changelist')}?state=stopped"
    yield "start", _url("run", "start")
    dashboard = reverse("admin:app_list", args=["django_workflows"])
    for period in PERIODS:
        yield f"dashboard_{period.key}", f"{dashboard}?period={period.key}"


def _url(model: str, page: str, *args: object) -> str:
    return reverse(f"admin:django_workflows_{model}_{page}", args=args)


def _get(client: Client, url: str) -> None:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
