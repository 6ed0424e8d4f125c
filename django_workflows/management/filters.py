"""``--filter field=value``: the filters of the REST API's list of runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from django.core.management.base import CommandError
from django.db.models import Q
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from django_workflows.api.filters import ATTRIBUTE, RunFilter, kinds_of_runs
from django_workflows.models.run import RunQuerySet

_FIELDS: tuple[str, ...] = tuple(RunFilter.get_filters())  # type: ignore[no-untyped-call]


def filtered(runs: RunQuerySet, filters: Iterable[str]) -> RunQuerySet:
    """The runs for which all filters hold. Raises CommandError for what is none, and
    UnicodeEncodeError for what is no text."""
    for text in filters:
        text.encode()  # or UnicodeEncodeError, before a database takes it otherwise
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


def kinds(filters: Iterable[str]) -> list[Q]:
    """What makes kinds of these runs, for `store.paging`."""
    for text in filters:
        name, _, value = text.partition("=")
        if name == "status" and (found := kinds_of_runs(value)):
            return found
    return []


def _apply(runs: RunQuerySet, text: str, name: str, value: str) -> RunQuerySet:
    # One at a time: given twice, a field has to have both values.
    data = QueryDict(mutable=True)
    data[name] = value
    wanted = RunFilter(data, runs)  # type: ignore[no-untyped-call]
    try:
        if wanted.is_valid():  # type: ignore[no-untyped-call]
            return cast(RunQuerySet, wanted.qs)
        found_wrong = wanted.errors
    except ValidationError as error:
        found_wrong = cast(dict[str, list[str]], error.detail)
    problems = [str(message) for found in found_wrong.values() for message in found]
    raise CommandError(f"--filter {text}: {' '.join(problems)}")
