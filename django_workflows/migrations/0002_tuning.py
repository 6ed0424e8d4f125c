"""What Django's model options cannot say about the tables."""

from django.db import migrations


def tune(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        # Rows of runs and steps are updated in place as long as their page has room.
        for table in ("run", "step"):
            schema_editor.execute(
                f"ALTER TABLE django_workflows_{table} SET (fillfactor = 70)"
            )
        drop_pattern_indexes(schema_editor)
    if schema_editor.connection.vendor == "mysql":
        # MariaDB has no partial indexes; these serve the same queries. Several rows
        # may have NULL in a unique one.
        for name, table, columns in FULL_INDEXES:
            schema_editor.execute(f"CREATE INDEX {name} ON {table} ({columns})")
        schema_editor.execute(
            "CREATE UNIQUE INDEX dw_run_key_unique_full "
            "ON django_workflows_run (workflow, key_held)"
        )


def drop_pattern_indexes(schema_editor):
    """Nobody searches ids with LIKE, and each such index costs at every write."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() "
            "AND tablename LIKE 'django\\_workflows\\_%' AND indexname LIKE '%\\_like'"
        )
        names = [row[0] for row in cursor.fetchall()]
    for name in names:
        schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(name)}")


def untune(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in ("run", "step"):
            schema_editor.execute(
                f"ALTER TABLE django_workflows_{table} RESET (fillfactor)"
            )
    if schema_editor.connection.vendor == "mysql":
        for name, table, _ in FULL_INDEXES:
            schema_editor.execute(f"DROP INDEX {name} ON {table}")
        schema_editor.execute(
            "DROP INDEX dw_run_key_unique_full ON django_workflows_run"
        )


FULL_INDEXES = (
    ("dw_run_due_full", "django_workflows_run", "queue, wake_at"),
    ("dw_run_parent_full", "django_workflows_run", "parent_id"),
    ("dw_run_continued_from_full", "django_workflows_run", "continued_from_id"),
    ("dw_run_owner_full", "django_workflows_run", "owner"),
    ("dw_event_inbox_full", "django_workflows_event", "seq, run_id"),
    ("dw_step_due_full", "django_workflows_step", "queue, due_at"),
    ("dw_step_worker_full", "django_workflows_step", "worker, status"),
)


class Migration(migrations.Migration):
    dependencies = [("django_workflows", "0001_initial")]

    # MariaDB cannot take part of a migration back, and refuses to be asked to.
    operations = [migrations.RunPython(tune, untune, atomic=False)]
