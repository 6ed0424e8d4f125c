"""Definitions by the events that start them."""

import hashlib
import json

import django.db.models.deletion
from django.db import migrations, models

AT_A_TIME = 500


def add_trigger_rows(apps, schema_editor):
    alias = schema_editor.connection.alias
    definitions = apps.get_model("django_workflows", "Definition").objects.using(alias)
    trigger = apps.get_model("django_workflows", "DefinitionTrigger")
    while rows := list(definitions.filter(has_trigger_rows=False)[:AT_A_TIME]):
        trigger.objects.using(alias).bulk_create(
            (
                trigger(definition=row, event_hash=event_hash)
                for row in rows
                for event_hash in event_hashes(row.content)
            ),
            ignore_conflicts=True,  # where a first try broke off
        )
        definitions.filter(pk__in=[row.pk for row in rows]).update(
            has_trigger_rows=True
        )


def event_hashes(content):
    events = {each["event"] for each in json.loads(content).get("triggers", [])}
    encoded = [event.encode("utf-8", "surrogatepass") for event in sorted(events)]
    return [hashlib.sha256(event).hexdigest() for event in encoded]


class Migration(migrations.Migration):

    dependencies = [
        ('django_workflows', '0010_exact_names'),
    ]

    operations = [
        migrations.AddField(
            model_name='definition',
            name='has_trigger_rows',
            field=models.BooleanField(db_default=False, db_index=True, default=False, editable=False),
        ),
        migrations.CreateModel(
            name='DefinitionTrigger',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('event_hash', models.CharField(max_length=64)),
                ('definition', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='trigger_rows', to='django_workflows.definition')),
            ],
            options={
                'verbose_name': 'trigger of a definition',
                'verbose_name_plural': 'triggers of definitions',
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(fields=('event_hash', 'definition'), name='dw_trigger_event_unique')],
            },
        ),
        # MariaDB cannot take part of a migration back, and refuses to be asked to.
        migrations.RunPython(
            add_trigger_rows, migrations.RunPython.noop, atomic=False
        ),
    ]
