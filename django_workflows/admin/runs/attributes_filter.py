"""The filter for the attributes of runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.attributes import PARAMETER
from django_workflows.admin.filters import without_nul
from django_workflows.admin.runs.form_filter import FormFilter
from django_workflows.store.attributes import attribute_is

#: Attributes by which a list is narrowed at once. Databases bear some hundreds.
_MOST = 50
#: What its form sends.
_NAME, _VALUE = "attribute_name", "attribute_value"


class AttributesFilter(FormFilter):
    """Runs with attributes, each given as `attributes.<name>=<value>`.

    A form can only send what it calls the same each time: see `asked_for`.
    """

    title = gettext_lazy("attribute")
    button = gettext_lazy("Find")

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        #: What it has been given: texts by parameter.
        self.given: dict[str, list[str]] = {
            name: params.pop(name)
            for name in list(params)
            if name.startswith(PARAMETER)
        }
        self.used_parameters.update(self.given)

    def expected_parameters(self) -> list[str | None]:
        return list(self.given)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if sum(map(len, self.given.values())) > _MOST:
            raise IncorrectLookupParameters
        for name, values in self.given.items():
            for value in values:
                wanted = without_nul(name.removeprefix(PARAMETER))
                queryset = queryset.filter(attribute_is(wanted, without_nul(value)))
        return queryset

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        yield {
            "selected": not self.given,
            "query_string": changelist.get_query_string(dict.fromkeys(self.given)),
            "display": _("All"),
        }
        for name, values in self.given.items():
            for value in values:
                yield {
                    "selected": True,
                    "query_string": changelist.get_query_string({name: None}),
                    "display": f"{name.removeprefix(PARAMETER)} = {value}",
                }

    def fields(self) -> list[dict[str, Any]]:
        """The fields of its form, which are empty: what was sent is a link above."""
        common = {"type": "text", "value": "", "is_required": True}
        return [
            {"name": _NAME, "label": _("Attribute"), **common},
            {"name": _VALUE, "label": _("Value"), **common},
        ]


def asked_for(given: QueryDict) -> QueryDict | None:
    """The parameters that are meant by those of the form; None if it was not sent.

    Another value of an attribute takes the place of the one that was chosen before.
    """
    if _NAME not in given:
        return None
    meant = given.copy()
    name, value = (meant.pop(field, [""])[-1].strip() for field in (_NAME, _VALUE))
    if name:
        meant[PARAMETER + name] = value
    return meant
