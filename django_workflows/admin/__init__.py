"""The console: Django's own admin, with pages for runs and what belongs to them."""

from django_workflows.admin import (  # noqa: F401  (they register their pages)
    definitions,
    events,
    hooks,
    runs,
    schedules,
    workers,
)
