from importlib import import_module

import django_workflows.models.schedule
from django.db import migrations, models


def tune(apps, schema_editor):
    """Nobody searches names with LIKE: see 0002_tuning."""
    if schema_editor.connection.vendor == "postgresql":
        import_module("django_workflows.migrations.0002_tuning").drop_pattern_indexes(
            schema_editor
        )


class Migration(migrations.Migration):

    dependencies = [
        ('django_workflows', '0007_definitions'),
    ]

    operations = [
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=255, unique=True)),
                ('workflow', models.CharField(max_length=255)),
                ('kind', models.CharField(default='workflow', editable=False, max_length=20)),
                ('sealed_input', models.BinaryField(null=True)),
                ('cron', models.CharField(blank=True, max_length=255, null=True)),
                ('timezone', models.CharField(default=django_workflows.models.schedule.default_timezone, max_length=64)),
                ('interval', models.FloatField(blank=True, null=True)),
                ('offset', models.FloatField(default=0.0)),
                ('at', models.DateTimeField(blank=True, null=True)),
                ('jitter', models.FloatField(default=0.0)),
                ('overlap', models.CharField(choices=[('skip', 'skip'), ('buffer_one', 'buffer one'), ('buffer_all', 'buffer all'), ('cancel_other', 'cancel the other'), ('terminate_other', 'terminate the other'), ('allow_all', 'allow all')], default='skip', max_length=20)),
                ('catchup_window', models.FloatField(default=31536000.0)),
                ('paused', models.BooleanField(default=False)),
                ('note', models.TextField(blank=True, default='')),
                ('remaining_runs', models.IntegerField(blank=True, null=True)),
                ('start_at', models.DateTimeField(blank=True, null=True)),
                ('end_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(editable=False)),
                ('last_run_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('next_run_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('last_error', models.TextField(blank=True, default='', editable=False)),
                ('open_runs', models.JSONField(default=list, editable=False)),
                ('buffered', models.JSONField(default=list, editable=False)),
                ('waits_for', models.CharField(default='', editable=False, max_length=40)),
                ('is_full', models.BooleanField(default=False, editable=False)),
            ],
            options={
                'verbose_name': 'schedule',
                'verbose_name_plural': 'schedules',
                'ordering': ['created_at', 'id'],
                'indexes': [models.Index(fields=['next_run_at'], name='dw_schedule_next'), models.Index(fields=['waits_for'], name='dw_schedule_waits'), models.Index(fields=['created_at', 'id'], name='dw_schedule_created')],
            },
        ),
        migrations.RunPython(tune, migrations.RunPython.noop, atomic=False),
    ]
