from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models


def tune(apps, schema_editor):
    """Nobody searches ids with LIKE: see 0002_tuning."""
    if schema_editor.connection.vendor == "postgresql":
        import_module("django_workflows.migrations.0002_tuning").drop_pattern_indexes(
            schema_editor
        )


class Migration(migrations.Migration):

    dependencies = [
        ('django_workflows', '0004_webhooks'),
    ]

    operations = [
        migrations.CreateModel(
            name='Stream',
            fields=[
                ('id', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('namespace', models.CharField(blank=True, default='', max_length=255)),
                ('length', models.BigIntegerField(default=0)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField()),
                ('run', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='streams', to='django_workflows.run')),
            ],
            options={
                'verbose_name': 'stream',
                'verbose_name_plural': 'streams',
                'ordering': ['run', 'namespace'],
            },
        ),
        migrations.CreateModel(
            name='StreamChunk',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('index', models.BigIntegerField()),
                ('payload', models.BinaryField()),
                ('attempt', models.IntegerField(default=1)),
                ('step_id', models.CharField(blank=True, default='', max_length=40)),
                ('created_at', models.DateTimeField()),
                ('stream', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='chunks', to='django_workflows.stream')),
            ],
            options={
                'verbose_name': 'stream chunk',
                'verbose_name_plural': 'stream chunks',
                'ordering': ['stream', 'index'],
                'constraints': [models.UniqueConstraint(fields=('stream', 'index'), name='dw_chunk_stream_index_unique')],
            },
        ),
        migrations.RunPython(tune, migrations.RunPython.noop, atomic=False),
    ]
