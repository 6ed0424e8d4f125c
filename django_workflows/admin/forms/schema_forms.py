"""Forms from JSON schemas: for the arguments of workflows and the payloads of hooks.

Whatever a schema says, there is a form: a part that is no single input becomes a JSON
field. The form reads values and does not validate them by the schema: that is for the
Python type behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from django_workflows.admin.forms.schema_fields import EMPTY
from django_workflows.admin.forms.schema_inputs import field_for, json_field_for
from django_workflows.admin.forms.schema_parts import Part, part_of
from django_workflows.admin.forms.schemas import resolved

#: The field for a value that has no parts of its own.
WHOLE = "payload"


class SchemaForm(forms.Form):
    """A form for the values of a schema; see `form_for`."""

    required_css_class = "required"
    parts: Mapping[str, Part]
    is_object: bool

    def value(self) -> Any:
        """What was entered, as JSON: an object without what was left empty, or the
        value of the one field. For valid forms."""
        given = self.given()
        return given if self.is_object else given.get(WHOLE)

    def given(self, skipped: Collection[str] = ()) -> dict[str, Any]:
        """The same by the names of the fields, without those to be skipped, those that
        something is wrong with, and those that were not sent at all."""
        return {
            name: value
            for name, entered in self.cleaned_data.items()
            if name not in skipped
            and not self._is_missing(name)
            and (value := self.parts[name].meaning(entered)) is not EMPTY
        }

    def _is_missing(self, name: str) -> bool:
        """Whether no browser has sent it: it keeps its default, as in Django's forms of
        models. (A check box that is not checked is never sent.)"""
        widget, html_name = self.fields[name].widget, self.add_prefix(name)
        return bool(widget.value_omitted_from_data(self.data, self.files, html_name))

    def add_problems(self, problems: Mapping[str, Iterable[str]]) -> None:
        """Show what is wrong with the value, by the name of a property."""
        for name, messages in problems.items():
            for message in messages:
                if name in self.fields:
                    self.add_error(name, message)
                elif self.is_object:
                    self.add_error(None, message)
                else:
                    self.add_error(WHOLE, message)


def form_for(schema: Any) -> type[SchemaForm]:
    """A form class for the values of a JSON schema: a field for each property of an
    object, named like it, else one field `payload` with JSON."""
    root = schema if isinstance(schema, dict) else {}
    whole = resolved(root, root)
    properties = whole.get("properties")
    is_object = whole.get("type") == "object" and isinstance(properties, dict)
    if is_object and isinstance(properties, dict):
        listed = whole.get("required")
        required = listed if isinstance(listed, list) else []
        parts = {
            str(name): part_of(each, root, name in required)
            for name, each in properties.items()
        }
        fields = {
            name: field_for(part, root, properties[name])
            for name, part in parts.items()
        }
    else:
        part = part_of(root, root, True)
        if not whole:
            part = Part({}, False, True, None)
        parts = {WHOLE: part}
        fields = {WHOLE: json_field_for(part, root, schema)}
        fields[WHOLE].label = gettext_lazy("Payload")

    class Made(SchemaForm):
        pass

    # Not as attributes: a property may be named like a method of forms.
    Made.base_fields = dict(fields)
    Made.parts, Made.is_object = parts, is_object
    return Made
