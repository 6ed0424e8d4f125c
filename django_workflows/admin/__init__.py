"""The console: Django's own admin, with pages for runs and what belongs to them."""

from django_workflows.admin import events, runs  # noqa: F401  (register their pages)
