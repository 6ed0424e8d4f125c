"""Each index costs at every write."""

from __future__ import annotations

from collections import defaultdict

import pytest
from django.apps import apps
from django.db import connection, models

TABLES = list(apps.get_app_config("django_workflows").get_models())


@pytest.mark.django_db
@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_no_index_repeats_one_of_the_model(model: type[models.Model]) -> None:
    """Some of a model may be alike where conditions are left out, as on MariaDB."""
    meta = model._meta
    of_model = {each.name for each in (*meta.indexes, *meta.constraints)}
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, meta.db_table)
    alike: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for name, each in found.items():
        if each["index"] or each["unique"]:
            alike[tuple(each["columns"])].add(name)
    repeated = {
        columns: names
        for columns, names in alike.items()
        if len(names) > 1 and not names <= of_model
    }
    assert repeated == {}
