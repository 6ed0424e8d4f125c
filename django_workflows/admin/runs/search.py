"""What the field above the list of runs finds."""

from __future__ import annotations

from django.db.models import QuerySet

from django_workflows.models import Run
from django_workflows.store.attributes import attribute_is
from django_workflows.store.database import alias

#: Runs whose ids begin alike that a search finds.
_ALIKE = 100
#: The length of the longest ids.
_ID = 40


def searched(runs: QuerySet[Run], text: str) -> QuerySet[Run]:
    """The runs that are meant by a text: an id, a key, or an attribute as
    `customer=7`."""
    text = text.strip()
    if not text:
        return runs
    if text.startswith("wrun_"):
        return runs.filter(pk__in=_beginning_with(text))
    by_key = runs.filter(key=text)
    name, equals, value = text.partition("=")
    # Looked up before: no database finds keys and attributes by one index.
    if not equals or by_key.exists():
        return by_key
    return runs.filter(attribute_is(name.strip(), value.strip()))


def _beginning_with(text: str) -> list[str]:
    """Ids of runs that begin so. Looked up before: in the order of the list very many
    others might be read."""
    # Indexes sort by language, and know no beginnings. No id is beyond Zs.
    found = Run.objects.using(alias()).filter(
        pk__gte=text, pk__lte=text.ljust(_ID, "Z"), pk__startswith=text
    )
    return list(found.order_by("pk").values_list("pk", flat=True)[:_ALIKE])
