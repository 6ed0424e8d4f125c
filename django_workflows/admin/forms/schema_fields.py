"""Form fields for JSON values.

Each takes what people type and cleans it to a JSON value, `EMPTY` if nothing was typed.
What a value looks like when it is typed is `written(value)`; whatever is typed is shown
again as it was if something is wrong with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from django_workflows.admin.forms.json_text import parse_json

#: Nothing was typed. What that means is for the form to say.
EMPTY: Any = type("_Empty", (), {"__repr__": lambda self: "EMPTY"})()


class ValueField(forms.Field):
    """A field whose values are JSON, by default text."""

    empty_values = [EMPTY]

    def written(self, value: Any) -> Any:
        """A value as it is typed into the field. Raises ValueError if none can be."""
        return value if isinstance(value, str) else json.dumps(value)

    def sent(self, written: Any) -> Any:
        """What a browser sends if nobody touches what is written."""
        return written

    def to_python(self, value: Any) -> Any:
        """The JSON value of what was typed."""
        if value is None or value == "":
            return EMPTY
        return self.read(value)

    def read(self, text: Any) -> Any:
        """The JSON value of a text that is not empty. Raises ValidationError."""
        return text.strip() or EMPTY


class TextField(ValueField):
    """Text, kept as it is but for the ends of lines, which browsers change."""

    def read(self, text: str) -> Any:
        if "\0" in text:
            raise ValidationError(_("Null characters are not allowed."))
        return text.replace("\r\n", "\n")

    def sent(self, written: str) -> str:
        lines = written.replace("\r\n", "\n").replace("\r", "\n")
        if isinstance(self.widget, forms.Textarea):
            return lines.replace("\n", "\r\n")
        return lines.replace("\n", "")


class IntegerField(ValueField):
    """A whole number, of any size."""

    widget = forms.NumberInput(attrs={"class": "vIntegerField", "step": 1})

    def read(self, text: str) -> Any:
        try:
            return int(text)
        except ValueError:
            raise ValidationError(_("Enter a whole number.")) from None


class FloatField(ValueField):
    """A number."""

    widget = forms.NumberInput(attrs={"class": "vTextField", "step": "any"})

    def read(self, text: str) -> Any:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValidationError(_("Enter a number."))
        return number


class ChoiceField(ValueField):
    """One of some JSON values."""

    widget = forms.Select

    def __init__(self, values: Sequence[Any], empty: str | None, **options: Any):
        super().__init__(**options)
        self._values = _by_text(values)
        choices = [(text, text) for text in self._values]
        if empty is not None:
            choices = [("", empty), *choices]
        self.widget.choices = choices

    def written(self, value: Any) -> Any:
        for text, choice in self._values.items():
            if type(choice) is type(value) and choice == value:
                return text
        raise ValueError(f"{value!r} is no choice")

    def read(self, text: str) -> Any:
        if text not in self._values:
            raise ValidationError(
                _("Select a valid choice. %(value)s is not one of them.")
                % {"value": text}
            )
        return self._values[text]


class CheckField(ValueField):
    """True or false."""

    widget = forms.CheckboxInput

    def written(self, value: Any) -> Any:
        return value is True

    def to_python(self, value: Any) -> Any:
        return bool(value)


class JsonField(ValueField):
    """Any JSON value, as JSON. `schema` says what it should look like."""

    widget = forms.Textarea(
        attrs={
            "class": "vLargeTextField dw-json",
            "rows": 4,
            "spellcheck": "false",
            "autocapitalize": "off",
        }
    )

    def __init__(self, *, schema: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.schema = schema

    @property
    def shown_schema(self) -> str:
        """The schema for people; empty if it says nothing."""
        return json.dumps(self.schema, indent=2) if self.schema else ""

    def written(self, value: Any) -> Any:
        return json.dumps(value, indent=2 if value else None)

    def read(self, text: str) -> Any:
        if not text.strip():
            return EMPTY
        try:
            return parse_json(text)
        except ValidationError as error:
            if text.strip()[0] in '[{"':
                raise
            hint = _('Text is in double quotes: "text".')
            raise ValidationError([*error.messages, hint]) from None


def _by_text(values: Sequence[Any]) -> Mapping[str, Any]:
    """Values by what they are called: texts by themselves, if that is clear."""
    texts = [v if isinstance(v, str) else json.dumps(v) for v in values]
    is_clear = len(set(texts)) == len(texts) and all(
        text and text.strip() == text for text in texts
    )
    if not is_clear:
        texts = [json.dumps(value) for value in values]
    return dict(zip(texts, values, strict=True))
