"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class WorkflowsConfig(AppConfig):
    """Finds ``workflows.py`` of every installed app and registers the checks."""

    name = "django_workflows"
    label = "django_workflows"
    verbose_name = _("Workflows")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_workflows import checks  # noqa: F401  (registers them)
        from django_workflows.definitions import (
            interpreter,  # noqa: F401  (its workflow)
            scheduled,
        )
        from django_workflows.http import fetching  # noqa: F401  (registers the step)
        from django_workflows.replay import streams  # noqa: F401  (registers the type)
        from django_workflows.store import answers, launching

        launching.install()
        answers.install()
        scheduled.install()
        autodiscover_modules("workflows")
