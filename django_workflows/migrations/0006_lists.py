"""Lists of runs, by whatever they can be filtered by, at any number of runs."""

from django.db import migrations, models

ATTRIBUTES = "dw_run_attributes"
KEY_FULL = "dw_run_key_created_full"
BLOCKED_FULL = "dw_run_blocked_full"


def tune(apps, schema_editor):
    """What Django's model options cannot say: see 0002_tuning."""
    if schema_editor.connection.vendor == "postgresql":
        # Only what is asked for by its value; most runs have none.
        schema_editor.execute(
            f"CREATE INDEX {ATTRIBUTES} ON django_workflows_run "
            "USING gin (attributes jsonb_path_ops) WHERE NOT (attributes = '{}'::jsonb)"
        )
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(
            f"CREATE INDEX {KEY_FULL} ON django_workflows_run "
            "(start_key, created_at, id)"
        )
        schema_editor.execute(
            f"CREATE INDEX {BLOCKED_FULL} ON django_workflows_run (blocked_times)"
        )


def untune(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX {ATTRIBUTES}")
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(f"DROP INDEX {KEY_FULL} ON django_workflows_run")
        schema_editor.execute(f"DROP INDEX {BLOCKED_FULL} ON django_workflows_run")


class Migration(migrations.Migration):

    dependencies = [
        ('django_workflows', '0005_streams'),
    ]

    operations = [
        migrations.RemoveIndex(model_name='run', name='dw_run_workflow_created'),
        migrations.RemoveIndex(model_name='run', name='dw_run_status_created'),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['workflow', 'created_at', 'id'], name='dw_run_workflow_created'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['status', 'created_at', 'id'], name='dw_run_status_created'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['queue', 'created_at', 'id'], name='dw_run_queue_created'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('key__isnull', False)), fields=['key', 'created_at', 'id'], name='dw_run_key_created'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('blocked_times__gt', 0), ('finished_at__isnull', True)), fields=['workflow'], name='dw_run_blocked'),
        ),
        migrations.RunPython(tune, untune, atomic=False),
    ]
