"""Seeds of forks are longer than others: no database was ever told a length."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('django_workflows', '0012_console'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name='run',
                    name='seed',
                    field=models.BinaryField(),
                ),
            ],
        ),
    ]
