"""The console in projects that are not like most."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client, override_settings
from django.urls import reverse

from django_workflows import create_schedule, start
from django_workflows.models import Run, Schedule
from django_workflows.testing import WorkflowTester
from tests.admin.browsing import what_a_browser_sends
from tests.admin.crawling import crawl
from tests.admin.pages import run_url
from tests.security.workflows import everything, receives

pytestmark = pytest.mark.django_db


WITHOUT_ADMIN = """
import django
from django.conf import settings
from django.core.management import call_command
from django.template import engines

from django_workflows import q_cluster

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django_q",
        "django_workflows",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    Q_CLUSTER=q_cluster(),
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
        }
    ],
)
django.setup()
call_command("check")
engines["django"].from_string("{% load workflows %}")
"""


class Elsewhere:
    """Sends those who read rows of ours without a word about where they are to a
    database that is not there."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        if model._meta.app_label != "django_workflows":
            return None
        instance = hints.get("instance")
        return (instance and instance._state.db) or "elsewhere"


def test_the_console_says_where_its_rows_are(
    workflows: WorkflowTester, settings: Any
) -> None:
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    create_schedule("often", receives, interval="1h")
    runs = [start(everything, "a", option=[]) for _ in range(2)]
    workflows.run_until_idle()
    settings.DATABASE_ROUTERS = [Elsewhere()]
    assert len(list(crawl(root))) > 20

    assert _does(root, _verb("cancel", runs[0]), {"post": "yes"}) == run_url(runs[0])
    bulk = {"action": "terminate_selected", ACTION_CHECKBOX_NAME: [runs[1].pk]}
    changelist = reverse("admin:django_workflows_run_changelist")
    assert _does(root, changelist, {**bulk, "post": "yes"})
    add = reverse("admin:django_workflows_schedule_add")
    fields = what_a_browser_sends(root.get(add).content.decode())
    mine = {"name": "mine", "workflow": "tests.security.workflows.receives"}
    assert _does(root, add, {**fields, **mine, "interval": "1h"})

    settings.DATABASE_ROUTERS = []
    assert Run.objects.get(pk=runs[1].pk).status == "terminated"
    assert {*Schedule.objects.values_list("name", flat=True)} == {"often", "mine"}
    noted = LogEntry.objects.values_list("object_id", flat=True)
    assert {run.pk for run in runs} < {*noted}


@override_settings(ROOT_URLCONF="tests.admin.urls_own_site")
def test_an_admin_site_of_its_own_has_all_pages(workflows: WorkflowTester) -> None:
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    create_schedule("often", receives, interval="1h")
    run = start(everything, "a", option=[])
    workflows.run_until_idle()
    pages = dict(crawl(root))
    assert run_url(run) in pages
    assert all(url.startswith("/operations/") for url in pages)
    assert _does(root, _verb("cancel", run), {"post": "yes"}) == run_url(run)


def test_the_dashboard_needs_no_context_processor(
    admin_client: Client, settings: Any
) -> None:
    processors = ["auth", "messages"]
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    f"django.contrib.{name}.context_processors.{name}"
                    for name in processors
                ]
            },
        }
    ]
    first = reverse("admin:app_list", args=["django_workflows"])
    assert 'id="dashboard"' in admin_client.get(first).content.decode()


def test_a_project_may_have_no_admin() -> None:
    """Django imports the template tags of all apps."""
    subprocess.run([sys.executable, "-c", WITHOUT_ADMIN], check=True, timeout=120)


def _verb(verb: str, run: Run) -> str:
    return reverse(f"admin:django_workflows_run_{verb}", args=[run.pk])


def _does(client: Client, url: str, data: dict[str, Any]) -> str:
    """Send a form; the page to which it leads."""
    answer = client.post(url, data)
    assert answer.status_code == 302, answer.content.decode()
    return answer.headers["Location"]
