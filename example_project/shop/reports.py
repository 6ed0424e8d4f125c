"""The nightly report: how the orders stand, and what they have brought in."""

from __future__ import annotations

from django.core.mail import send_mail
from django.db.models import Count, Sum

from django_workflows import create_schedule, get_workflow_metadata, step, workflow
from django_workflows.models import Schedule

from .models import Order

NAME = "nightly report"
CRON = "30 2 * * *"


@workflow(name="shop.nightly_report")
async def nightly_report() -> dict[str, int]:
    """Count the orders by status, and send the counts to the management."""
    counts = await count_orders()
    await send_report(get_workflow_metadata().attributes["scheduled_at"], counts)
    return counts


@step
def count_orders() -> dict[str, int]:
    """How many orders there are, by status."""
    rows = Order.objects.order_by().values_list("status").annotate(Count("pk"))
    return dict(rows)


@step
def send_report(when: str, counts: dict[str, int]) -> None:
    """Send the report by mail."""
    sold = Order.objects.exclude(status=Order.Status.CANCELLED)
    sales = sold.aggregate(total=Sum("total"))["total"] or 0
    lines = [f"{status}: {count}" for status, count in sorted(counts.items())]
    send_mail(
        f"Orders of {when[:10]}",
        "\n".join([*lines, f"sales: {sales}"]),
        "shop@northwind.example",
        ["management@northwind.example"],
    )


def plan(cron: str = CRON) -> Schedule:
    """Have the report's schedule, once, with this time."""
    schedule = Schedule.objects.filter(name=NAME).first()
    if schedule is None:
        return create_schedule(NAME, nightly_report, cron=cron)
    schedule.cron = cron
    schedule.save()
    return schedule
