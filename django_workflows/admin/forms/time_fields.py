"""Form fields for JSON values that are dates, times and lengths of time."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.admin.widgets import (
    AdminDateWidget,
    AdminSplitDateTime,
    AdminTimeWidget,
)
from django.core.exceptions import ValidationError
from django.forms.utils import from_current_timezone, to_current_timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticError

from django_workflows.admin.forms.schema_fields import EMPTY, ValueField
from django_workflows.core.durations import to_seconds

_timedelta: TypeAdapter[timedelta] = TypeAdapter(timedelta)


class DateField(ValueField):
    """A date, also as it is written in the user's language."""

    widget = AdminDateWidget

    def read(self, text: str) -> Any:
        date = forms.DateField().clean(text)
        return date.isoformat()


class TimeField(ValueField):
    """A time of day. With a zone it is not read here, but by whoever validates it."""

    widget = AdminTimeWidget

    def read(self, text: str) -> Any:
        try:
            return forms.TimeField().clean(text).isoformat()
        except ValidationError:
            return text.strip() or EMPTY


class DateTimeWidget(AdminSplitDateTime):
    """Two inputs, for the date and the time, both in the current time zone.

    The first one takes the whole of it, too, with any zone; and so does a request that
    has it under the field's own name.
    """

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs)
        for widget, label in zip(self.widgets, (_("Date"), _("Time")), strict=True):
            widget.attrs["aria-label"] = label

    def decompress(self, value: Any) -> Any:
        moment = _moment(value) if isinstance(value, str) else None
        if moment is None:
            return [value, None]
        try:
            local = to_current_timezone(moment)
        except OverflowError:  # at the ends of the calendar
            return [value, None]
        return [local.date().isoformat(), local.time().isoformat()]

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        if name in data:
            return [data[name], None]
        return super().value_from_datadict(data, files, name)

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return name not in data and super().value_omitted_from_data(data, files, name)


class DateTimeField(ValueField):
    """A point in time; what is typed without a zone is in the current one.

    With `is_local` there are no zones.
    """

    widget = DateTimeWidget

    def __init__(self, *, is_local: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.is_local = is_local

    def sent(self, written: Any) -> Any:
        return DateTimeWidget().decompress(written)

    def to_python(self, value: Any) -> Any:
        parts = [part.strip() for part in value or () if part]
        return super().to_python(" ".join(parts))

    def read(self, text: str) -> Any:
        moment = _moment(text) or forms.DateTimeField().to_python(text)
        if moment is None:
            return EMPTY
        if self.is_local and moment.tzinfo is not None:
            moment = to_current_timezone(moment)
        elif not self.is_local:
            moment = from_current_timezone(moment)
        return moment.isoformat()


class DurationField(ValueField):
    """A length of time: ``1h30m``, or as ISO 8601 has it."""

    def read(self, text: str) -> Any:
        with suppress(PydanticError):
            _timedelta.validate_strings(text.strip())
            return text.strip()
        try:
            length = timedelta(seconds=to_seconds(text))
        except (ValueError, OverflowError):
            raise ValidationError(
                _("Enter a duration, such as 1h30m or PT5M.")
            ) from None
        return _timedelta.dump_python(length, mode="json")


def _moment(text: str) -> Any:
    try:
        return parse_datetime(text)
    except ValueError:
        return None
