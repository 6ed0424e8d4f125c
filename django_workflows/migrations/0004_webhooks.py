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
        ('django_workflows', '0003_control'),
    ]

    operations = [
        migrations.AddField(
            model_name='hook',
            name='webhook',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddField(
            model_name='hook',
            name='schema',
            field=models.TextField(blank=True, db_column='payload_schema', db_default='', default=''),
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('identity', models.CharField(blank=True, max_length=64, null=True, unique=True)),
                ('sealed_response', models.BinaryField(null=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField()),
                ('run', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='django_workflows.run')),
            ],
            options={
                'verbose_name': 'webhook delivery',
                'verbose_name_plural': 'webhook deliveries',
                'ordering': ['created_at', 'id'],
            },
        ),
        migrations.RunPython(tune, migrations.RunPython.noop, atomic=False),
    ]
