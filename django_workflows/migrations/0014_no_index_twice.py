"""Indexes that repeat others, and cost at every write."""

from importlib import import_module

from django.db import migrations

#: On MariaDB they were to stand in for those with conditions; but it leaves out the
#: condition of an index rather than the index.
TWICE = (
    ("dw_run_due_full", "django_workflows_run", "queue, wake_at"),
    ("dw_run_parent_full", "django_workflows_run", "parent_id"),
    ("dw_run_continued_from_full", "django_workflows_run", "continued_from_id"),
    ("dw_run_owner_full", "django_workflows_run", "owner"),
    ("dw_run_deadline_full", "django_workflows_run", "deadline_at"),
    ("dw_run_limited_full", "django_workflows_run", "limit_key, queued_at"),
    ("dw_run_queued_full", "django_workflows_run", "queue, queued_at"),
    ("dw_run_finished_full", "django_workflows_run", "finished_at"),
    ("dw_run_retention_full", "django_workflows_run", "retention, finished_at"),
    ("dw_run_root_full", "django_workflows_run", "root_id"),
    ("dw_run_key_created_full", "django_workflows_run", "start_key, created_at, id"),
    ("dw_step_due_full", "django_workflows_step", "queue, due_at"),
)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        import_module("django_workflows.migrations.0002_tuning").drop_pattern_indexes(
            schema_editor
        )
    if schema_editor.connection.vendor == "mysql":
        for name, table, _ in TWICE:
            schema_editor.execute(f"DROP INDEX {name} ON {table}")


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "mysql":
        for name, table, columns in TWICE:
            schema_editor.execute(f"CREATE INDEX {name} ON {table} ({columns})")


class Migration(migrations.Migration):
    dependencies = [("django_workflows", "0013_seeds_of_forks")]

    operations = [migrations.RunPython(drop, make, atomic=False)]
