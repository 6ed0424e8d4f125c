"""Forms from JSON schemas: for the arguments of workflows and the payloads of hooks.

Whatever a schema says, there is a form: a part that is no single input becomes a JSON
field. The form reads values and does not validate them by the schema: that is for the
Python type behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import gettext as _

from django_workflows.admin.forms.schema_fields import (
    EMPTY,
    CheckField,
    ChoiceField,
    FloatField,
    IntegerField,
    JsonField,
    TextField,
    ValueField,
)
from django_workflows.admin.forms.schemas import (
    choices_of,
    is_decimal,
    is_same,
    is_text,
    resolved,
    without_null,
)
from django_workflows.admin.forms.time_fields import (
    DateField,
    DateTimeField,
    DurationField,
    TimeField,
)
from django_workflows.replay.defined_hooks import IDENTITY

#: The field for a value that has no parts of its own.
WHOLE = "payload"
_NONE = "---------"
#: Up to this length text is a line.
_LINE = 100


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


@dataclass(frozen=True)
class Part:
    """A property of a schema, and what it means if its field is left empty."""

    schema: Mapping[str, Any]
    #: A value has to be given.
    is_required: bool
    is_nullable: bool
    #: `EMPTY` if there is none, or none that JSON could say.
    default: Any

    def meaning(self, value: Any) -> Any:
        """The value of what was entered; `EMPTY` to give none.

        A default that was left as it is, is not given: as JSON it may have lost its
        type.
        """
        if value is not EMPTY:
            has_default = self.default is not EMPTY
            return EMPTY if has_default and is_same(value, self.default) else value
        if self.is_nullable and (self.is_required or self.default is not EMPTY):
            return EMPTY if self.default is None else None
        if self.default and isinstance(self.default, str) and is_text(self.schema):
            return ""  # somebody has deleted the default that was there
        return EMPTY


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
            str(name): _part(each, root, name in required)
            for name, each in properties.items()
        }
        fields = {
            name: _field(part, root, properties[name]) for name, part in parts.items()
        }
    else:
        part = _part(root, root, True)
        if not whole:
            part = Part({}, False, True, None)
        parts = {WHOLE: part}
        fields = {WHOLE: _json_field(part, root, schema)}

    class Made(SchemaForm):
        pass

    # Not as attributes: a property may be named like a method of forms.
    Made.base_fields = dict(fields)
    Made.parts, Made.is_object = parts, is_object
    return Made


def _part(schema: Any, root: Mapping[str, Any], is_required: bool) -> Part:
    found = resolved(schema, root)
    default = EMPTY if is_required else found.get("default", EMPTY)
    core, is_nullable = without_null(found, root)
    return Part(core, is_required, is_nullable, default)


def _field(part: Part, root: Mapping[str, Any], schema: Any) -> ValueField:
    described = resolved(schema, root)
    field = _input(part) or _json_field(part, root, schema)
    description = described.get("description") or part.schema.get("description")
    texts = [description] if isinstance(description, str) else []
    if isinstance(field, DurationField):
        texts.append(_("A duration, such as 1h30m or PT5M."))
    if isinstance(field, DateTimeField) and not field.is_local:
        zone = get_current_timezone_name()
        texts.append(_("In the time zone %(zone)s.") % {"zone": zone})
    field.help_text = " ".join(texts)
    title = schema.get("title") if isinstance(schema, dict) else None
    field.label = title if isinstance(title, str) else None
    if part.default is not EMPTY and (part.default is not None):
        with suppress(ValueError):  # an odd default, which the field cannot show
            field.initial = field.written(part.default)
    return field


def _json_field(part: Part, root: Mapping[str, Any], schema: Any) -> JsonField:
    shown = resolved(schema, root)
    if "$defs" in root and "$ref" in repr(shown):
        shown = {**shown, "$defs": root["$defs"]}
    silent = ("title", "default", "description", IDENTITY)
    shown = {key: value for key, value in shown.items() if key not in silent}
    return JsonField(required=part.is_required and not part.is_nullable, schema=shown)


def _input(part: Part) -> ValueField | None:
    """The field for a value that is one input; None if it needs to be JSON."""
    schema = part.schema
    required = part.is_required and not part.is_nullable
    options: dict[str, Any] = {"required": required}
    choices = choices_of(schema)
    if choices:
        must_be_one = part.default in choices and not part.is_nullable
        return ChoiceField(choices, None if must_be_one else _NONE, **options)
    kind, form = schema.get("type"), schema.get("format")
    if kind == "boolean":
        if part.is_nullable or not (part.is_required or type(part.default) is bool):
            return ChoiceField([True, False], _NONE, **options)
        return CheckField(required=False)
    if kind == "integer":
        return _bounded(IntegerField(**options), schema)
    if kind == "number":
        return _bounded(FloatField(**options), schema)
    if is_decimal(schema):
        attrs = {"class": "vTextField", "inputmode": "decimal"}
        return ValueField(widget=forms.TextInput(attrs), **options)
    if kind == "string":
        return _text_field(schema, form, options)
    return None


def _text_field(
    schema: Mapping[str, Any], form: Any, options: dict[str, Any]
) -> ValueField:
    if form == "date":
        return DateField(**options)
    if form == "time":
        return TimeField(**options)
    if form in ("date-time", "date-time-local"):
        return DateTimeField(is_local=form == "date-time-local", **options)
    attrs = {"class": "vTextField"}
    if form == "duration":
        return DurationField(widget=forms.TextInput(attrs), **options)
    if form == "password":
        # Shown, like any argument: who may not see payloads does not see it later.
        attrs["autocomplete"] = "off"
    longest = schema.get("maxLength")
    if isinstance(form, str) or (isinstance(longest, int) and longest <= _LINE):
        return TextField(widget=forms.TextInput(attrs), **options)
    attrs = {"class": "vLargeTextField dw-line", "rows": "1"}
    return TextField(widget=forms.Textarea(attrs), **options)


def _bounded(field: ValueField, schema: Mapping[str, Any]) -> ValueField:
    for key, attribute in (("minimum", "min"), ("maximum", "max")):
        if type(schema.get(key)) in (int, float):
            field.widget.attrs[attribute] = schema[key]
    return field
