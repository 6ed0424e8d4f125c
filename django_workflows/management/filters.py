"""``--filter field=value``: the filters of the REST API's list of runs."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.management.base import CommandError
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from django_workflows.api.filters import ATTRIBUTE, RunFilter
from django_workflows.models.run import RunQuerySet

_FIELDS: tuple[str, ...] = tuple(RunFilter.get_filters())  # type: ignore[no-untyped-call]


def filtered(runs: RunQuerySet, filters: Iterable[str]) -> RunQuerySet:
    """The runs for which all filters hold. Raises CommandError for what is none."""
    for text in filters:
        name, equals, value = text.partition("=")
        # As Django's lookups have it, too.
        name = name.replace("attributes__", ATTRIBUTE, 1)
        if not equals or not (value or name.startswith(ATTRIBUTE)):
            raise CommandError(f"--filter {text}: field=value is needed.")
        if name not in _FIELDS and not name.startswith(ATTRIBUTE):
            known = ", ".join([*_FIELDS, f"{ATTRIBUTE}NAME"])
            raise CommandError(f"--filter {text}: no such field; there are {known}.")
        runs = _apply(runs, text, name, value)
    return runs


def _apply(runs: RunQuerySet, text: str, name: str, value: str) -> RunQuerySet:
    # One at a time: given twice, a field has to have both values.
    data = QueryDict(mutable=True)
    data[name] = value
    wanted = RunFilter(data, runs)  # type: ignore[no-untyped-call]
    try:
        if wanted.is_valid():  # type: ignore[no-untyped-call]
            found: RunQuerySet = wanted.qs
            return found
        problems = [message for found in wanted.errors.values() for message in found]
    except ValidationError as error:
        problems = [str(error.detail)]
    raise CommandError(f"--filter {text}: {' '.join(problems)}")
