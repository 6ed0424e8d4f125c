"""What the engine's tables must show: every run ended, every log whole."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, F, Max, Min, Q

from django_workflows.models import Event, Run

from ..models import PaymentRequest, Purchase
from ..workflows import buy_stock, fulfil_order
from .books import Check

_GROUP = "Engine"
_ENDS = ("step_completed", "step_failed", "step_cancelled")


def check_logs(orders: int) -> Iterator[Check]:
    """Audit the runs of `orders` orders and of the purchases that they caused."""
    completed = Run.objects.filter(status=Run.Status.COMPLETED)
    purchases = Purchase.objects.count()
    yield Check(
        "order workflows completed / there, one per order",
        (orders, orders),
        (
            completed.for_workflow(fulfil_order).count(),
            Run.objects.for_workflow(fulfil_order).count(),
        ),
        _GROUP,
    )
    yield Check(
        "purchase workflows completed / there, one per purchase",
        (purchases, purchases),
        (
            completed.for_workflow(buy_stock).count(),
            Run.objects.for_workflow(buy_stock).count(),
        ),
        _GROUP,
    )
    numbered = Event.objects.filter(seq__isnull=False)
    gapless = (
        numbered.values("run_id")
        .annotate(first=Min("seq"), last=Max("seq"), count=Count("seq"))
        .filter(first=1, last=F("count"), run__last_seq=F("count"))
    )
    yield Check(
        "runs whose log has no gap and no event twice",
        Run.objects.count(),
        gapless.count(),
        _GROUP,
    )
    # Step ids are unique in the whole deployment.
    ended_once = (
        numbered.filter(type__in=_ENDS)
        .values("correlation_id")
        .annotate(count=Count("id"))
        .filter(count=1)
    )
    yield Check(
        "steps called that ended exactly once",
        numbered.filter(type="step_created").count(),
        ended_once.count(),
        _GROUP,
    )


def what_it_took() -> list[str]:
    """Say how much work it was, and how much of it was lost and done again."""
    steps = Event.objects.filter(type="step_started")
    retries = Event.objects.filter(type="step_retrying", seq__isnull=False)
    crashed = retries.filter(detail__contains='"crash"')
    requests = PaymentRequest.objects.aggregate(
        all=Count("id"),
        failed=Count("id", Q(outcome__in=("unavailable", "answer lost"))),
        repeated=Count("id", Q(outcome="repeated")),
    )
    counts = {
        "runs": Run.objects.count(),
        "attempts of steps": steps.count(),
        "events": Event.objects.count(),
    }
    asked, failed, repeated = requests["all"], requests["failed"], requests["repeated"]
    return [
        ", ".join(f"{count:,} {what}" for what, count in counts.items()),
        f"{crashed.count():,} attempts died with their worker and were made again",
        f"{asked:,} payment requests, {failed:,} failed, {repeated:,} repeats",
    ]


def troubled_runs(limit: int) -> list[str]:
    """Describe up to `limit` runs that did not complete, for whoever has to look."""
    troubled = Run.objects.exclude(status=Run.Status.COMPLETED)
    return [
        f"{run.id} {run.workflow} is {run.status}: "
        f"{run.blocked_reason or run.error or 'no error recorded'}"
        for run in troubled[:limit]
    ]
