"""The nightly report is scheduled once, and tells how the orders stand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command

from django_workflows.models import Run, Schedule
from django_workflows.testing import WorkflowTester

from .conftest import MakeOrder, MakeProduct

pytestmark = pytest.mark.django_db


def test_each_night_has_its_report(
    workflows: WorkflowTester,
    make_order: MakeOrder,
    make_product: MakeProduct,
    mailoutbox: list[EmailMessage],
) -> None:
    make_order((make_product(5), 2))
    call_command("plan_report", verbosity=0)
    call_command("plan_report", verbosity=0)
    workflows.advance("2d")
    runs = Run.objects.filter(attributes__schedule="nightly report")
    assert [run.result() for run in runs] == [{"placed": 1}] * 2
    reports = [mail for mail in mailoutbox if mail.subject.startswith("Orders of")]
    assert [mail.body for mail in reports] == ["placed: 1\nsales: 0"] * 2


def test_the_report_is_moved(workflows: WorkflowTester) -> None:
    call_command("plan_report", verbosity=0)
    call_command("plan_report", "--cron", "0 */1 * * *", verbosity=0)
    next_run_at = Schedule.objects.get().next_run_at
    assert next_run_at is not None
    assert next_run_at - workflows.now <= timedelta(hours=1)
    with pytest.raises(CommandError, match="often"):
        call_command("plan_report", "--cron", "often", verbosity=0)
