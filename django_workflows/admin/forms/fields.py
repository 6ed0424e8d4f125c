"""Fields of the console's forms."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware, make_naive
from django.utils.translation import gettext as _

from django_workflows.admin.forms.json_text import parse_json
from django_workflows.core.durations import to_seconds, to_text


class SecondsField(forms.CharField):
    """A length of time, written as text such as "5m"; its value is in seconds."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=100, **options)
        self.widget.attrs["placeholder"] = "1h30m"

    def prepare_value(self, value: Any) -> Any:
        return to_text(value) if isinstance(value, int | float) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            # A bare number is one of seconds, as everywhere else.
            return to_seconds(float(text) if _is_number(text) else text)
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def run_validators(self, value: Any) -> None:
        """Those of a text do not fit."""


class CollectionField(forms.CharField):
    """A list or an object, written as JSON; empty text is an empty one."""

    def __init__(self, kind: type[list[Any] | dict[str, Any]]) -> None:
        attrs = {"rows": 4, "class": "vLargeTextField dw-json", "spellcheck": "false"}
        super().__init__(required=False, strip=False, widget=forms.Textarea(attrs))
        self._kind = kind

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list | dict):
            return json.dumps(value, ensure_ascii=False, indent=2) if value else ""
        return value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        if not text.strip():
            return self._kind()
        parsed = parse_json(text)
        if not isinstance(parsed, self._kind):
            if self._kind is list:
                raise ValidationError(_('Give a list: ["first", 2]'))
            raise ValidationError(_('Give an object: {"name": "value"}'))
        return parsed

    def run_validators(self, value: Any) -> None:
        """Those of a text do not fit."""


class MomentField(forms.DateTimeField):
    """A point in time, by the reader's clocks; the browser helps to enter it."""

    def __init__(self, **options: Any) -> None:
        attrs = {"type": "datetime-local", "step": "1"}
        widget = forms.DateTimeInput(attrs, format="%Y-%m-%dT%H:%M:%S")
        super().__init__(widget=widget, **options)

    def to_python(self, value: Any) -> Any:
        """What clocks show twice is the first of both: browsers send no offset, and
        what a page has been filled with has to be taken back."""
        try:
            return super().to_python(value)
        except ValidationError:
            if (first := _first_of_two(value)) is None:
                raise
            return first


def _first_of_two(text: str) -> datetime | None:
    """The point in time; None if there is none."""
    with suppress(ValueError, OverflowError):
        wall = parse_datetime(text.strip())
        if wall is not None and is_naive(wall):
            moment = make_aware(wall)
            if make_naive(moment.astimezone(UTC)) == wall:
                return moment
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
