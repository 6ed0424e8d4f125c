"""What people look for in the console, and few runs have: at any number of runs."""

from django.db import migrations, models

FILTERS = "dw_run_filters"


def tune(apps, schema_editor):
    """Which values occur together, as far as lists can be narrowed by them. Without
    that PostgreSQL would seek what never does among all that have one of them."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE STATISTICS {FILTERS} (mcv) ON status, workflow, queue, version "
            "FROM django_workflows_run"
        )


def untune(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP STATISTICS {FILTERS}")


class Migration(migrations.Migration):

    dependencies = [
        ('django_workflows', '0011_definition_triggers'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='hook',
            index=models.Index(fields=['created_at', 'id'], name='dw_hook_created'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('version', ''), _negated=True), fields=['version', 'created_at', 'id', 'workflow'], name='dw_run_version_created'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('status', 'failed'), ('status', 'cancelled'), ('status', 'terminated'), ('status', 'timed_out'), _connector='OR'), fields=['workflow', 'status', 'created_at', 'id'], name='dw_run_unsuccessful'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('status', 'failed')), fields=['status', 'finished_at'], name='dw_run_failed'),
        ),
        migrations.RunPython(tune, untune, atomic=False),
    ]
