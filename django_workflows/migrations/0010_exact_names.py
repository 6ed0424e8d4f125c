from django.db import migrations


def compare_exactly(apps, schema_editor):
    """MySQL and MariaDB hold names to be equal that differ in case or accents only."""
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(
            "ALTER TABLE django_workflows_schedule "
            "MODIFY name varchar(255) COLLATE utf8mb4_bin NOT NULL"
        )


class Migration(migrations.Migration):

    dependencies = [
        ('django_workflows', '0009_permissions'),
    ]

    operations = [
        migrations.RunPython(
            compare_exactly, migrations.RunPython.noop, atomic=False
        ),
    ]
