"""What filters of the list of runs have in common that have a form of their own."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from django.contrib.admin import ListFilter
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.http import HttpRequest


class FormFilter(ListFilter):
    """Offers links, and a form with fields of its own below them."""

    template = "admin/django_workflows/run/form_filter.html"
    #: What the button of its form says.
    button: Any
    #: The parameters that are gone when the form is sent.
    replaces: tuple[str, ...] = ()
    request: HttpRequest

    def has_output(self) -> bool:
        return True

    @abstractmethod
    def fields(self) -> list[dict[str, Any]]:
        """The fields of its form: each with name, type, label, value, and whether
        it `is_required`."""

    def kept(self) -> list[tuple[str, str]]:
        """What the form has to send besides, so that the rest of the list's choice
        stays as it is."""
        dropped = {*self.replaces, PAGE_VAR, ERROR_FLAG}
        return [
            (name, value)
            for name, values in self.request.GET.lists()
            for value in values
            if name not in dropped
        ]
