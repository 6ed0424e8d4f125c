"""The form on the page that starts a workflow: input, options, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.forms import BoundField, Media
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_workflows.admin.forms.schema_fields import EMPTY, CheckField, ChoiceField
from django_workflows.admin.forms.schema_forms import SchemaForm, form_for
from django_workflows.admin.permissions import may
from django_workflows.admin.starting.earlier_input import (
    EarlierInput,
    Kept,
    earlier_input,
)
from django_workflows.admin.starting.earlier_options import earlier_options
from django_workflows.admin.starting.options import StartOptionsForm
from django_workflows.admin.starting.starts import Started, start_noted
from django_workflows.errors import WorkflowError
from django_workflows.models import Run
from django_workflows.replay.arguments import (
    ArgumentsError,
    arguments_schema,
    unchecked_parameters,
)
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.named_arguments import call_with, check_named_arguments


@dataclass(frozen=True)
class Row:
    """A field, and the earlier value that can be kept in its place."""

    field: BoundField
    kept: Kept | None = None
    is_kept: bool = False


class StartForm:
    """The forms of the page together, empty or as they were sent."""

    def __init__(
        self, request: HttpRequest, workflow: Workflow[..., Any], origin: Run | None
    ) -> None:
        self._request = request
        # Templates call what can be called, and workflows do not like that.
        self.name, self.version = workflow.name, workflow.version
        self._workflow = workflow
        self.earlier: EarlierInput | None = None
        form_class = form_for(arguments_schema(workflow))
        initial: dict[str, Any] = {}
        if origin is not None:
            self.earlier = earlier_input(origin, workflow, form_class)
            initial = self.earlier.initial | dict.fromkeys(self.earlier.kept, "")
        data = request.POST if request.method == "POST" else None
        self.options = StartOptionsForm(
            workflow,
            data,
            initial={} if origin is None else earlier_options(origin, workflow),
            may_terminate=may(request, "terminate"),
        )
        self.input: SchemaForm = form_class(data, initial=initial)
        self.keep = self.options.add_prefix("keep")
        self.kept = set(self._keepable)
        if data is not None:
            self.kept &= set(data.getlist(self.keep))
        for name in self.kept:
            self.input.fields[name].required = False

    @property
    def _keepable(self) -> dict[str, Kept]:
        return {} if self.earlier is None else self.earlier.kept

    @property
    def media(self) -> Media:
        return self.input.media + self.options.media

    @property
    def unchecked(self) -> list[str]:
        """Parameters that take any JSON value, as their types are not known."""
        return unchecked_parameters(self._workflow)

    def rows(self) -> Iterator[Row]:
        """The fields for the workflow's parameters."""
        for field in self.input:
            kept = self._keepable.get(field.name)
            yield Row(field, kept, field.name in self.kept)

    def option_rows(self) -> list[Row]:
        """The fields for how it is started."""
        return [Row(field) for field in self.options]

    def start(self) -> Started | None:
        """Start what is described; None if something is wrong with it, which the forms
        say by then."""
        is_valid = [self.input.is_valid(), self.options.is_valid()]
        given = self._given()
        if not all(is_valid) or self.input.errors:
            return None
        origin = None if self.earlier is None else self.earlier.run
        try:
            args, kwargs = call_with(self._workflow, given)
            configured = self._workflow.options(**self.options.options())
            started = start_noted(self._request, configured, args, kwargs, origin)
        except (WorkflowError, ValueError, TypeError) as error:
            # What can only be known now: too large, or limits that the input breaks.
            self.input.add_error(None, str(error))
            return None
        if not started.is_new:
            self.options.refuse_key(started.run)
            return None
        return started

    def _given(self) -> dict[str, Any]:
        """Values by the names of parameters: what was entered, checked, and kept."""
        broken = {name for name in self.input.errors if name in self.input.fields}
        for name in self.kept - broken:
            entry, value = self.input.fields[name], self.input.cleaned_data[name]
            if value is not EMPTY and not isinstance(entry, CheckField | ChoiceField):
                text = _("Keep the earlier value, or enter another one: not both.")
                self.input.add_error(name, text)
        entered = self.input.given(self.kept)
        skipped = self.kept | broken
        try:
            checked = check_named_arguments(self._workflow, entered, skipped)
        except ArgumentsError as error:
            self.input.add_problems(error.problems)
            return {}
        return checked | {name: self._keepable[name].value for name in self.kept}
