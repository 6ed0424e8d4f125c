"""The page that starts an execution of a definition."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.forms.json_text import loss_in, parse_json
from django_workflows.admin.permissions import may
from django_workflows.admin.starting.earlier_options import earlier_options
from django_workflows.admin.starting.form import Row
from django_workflows.admin.starting.options import StartOptionsForm
from django_workflows.admin.starting.starts import start_noted
from django_workflows.core.rendering import to_json
from django_workflows.core.serialization import canonical, dumps
from django_workflows.definitions.executions import call_of
from django_workflows.definitions.interpreter import run_definition
from django_workflows.definitions.storing import Current
from django_workflows.errors import WorkflowError
from django_workflows.models import Run


class InputForm(forms.Form):
    """What the steps are given."""

    input = forms.CharField(
        label=gettext_lazy("Input"),
        required=False,
        strip=False,
        help_text=gettext_lazy('In JSON: {"total": 120}; an empty object if empty.'),
        widget=forms.Textarea({"class": "dw-json", "rows": 6, "spellcheck": "false"}),
    )

    def clean_input(self) -> Any:
        text = self.cleaned_data["input"]
        if lost := loss_in(text):
            raise ValidationError(lost)
        return parse_json(text) if text.strip() else {}


class ExecutionForm:
    """The input and the options of an execution: empty, those of an earlier one, or as
    they were sent."""

    def __init__(self, request: HttpRequest, origin: Run | None) -> None:
        self._request, self._origin = request, origin
        #: Why nothing of the earlier input can be taken over.
        self.problem = ""
        data = request.POST if request.method == "POST" else None
        self.input = InputForm(data, initial={"input": self._earlier_input()})
        self.options = StartOptionsForm(
            run_definition,
            data,
            initial={} if origin is None else earlier_options(origin, run_definition),
            may_terminate=may(request, "terminate"),
        )

    def _earlier_input(self) -> str:
        """What the earlier execution was given, redacted, as text; empty where a text
        would not be the same."""
        if self._origin is None:
            return ""
        try:
            given = self._origin.args[2]
        except WorkflowError as error:
            self.problem = _("Its input cannot be read: %(error)s") % {"error": error}
            return ""
        plain = to_json(given, redact=False)
        if canonical(dumps(plain)) != canonical(dumps(given)):
            self.problem = _("A form would change it: JSON has no words for all of it.")
            return ""
        # By the name of the parameter, too.
        shown = to_json({"given": given})
        shown = shown["given"] if isinstance(shown, dict) else shown
        return json.dumps(shown, ensure_ascii=False, indent=2)

    def rows(self) -> list[Row]:
        """The fields for what the steps are given."""
        return [Row(field) for field in self.input]

    def option_rows(self) -> list[Row]:
        """The fields for how it is started."""
        return [Row(field) for field in self.options]

    def start(self, current: Current) -> Run | None:
        """Start what is described; None if something is wrong with it, which the forms
        say by then."""
        if not all([self.input.is_valid(), self.options.is_valid()]):
            return None
        given, options = self.input.cleaned_data["input"], self.options.options()
        try:
            workflow, args = call_of(current.stored(), given, options)
            started = start_noted(self._request, workflow, args, {}, self._origin)
        except (WorkflowError, ValueError, TypeError) as error:
            self.input.add_error(None, str(error))
            return None
        if not started.is_new:
            self.options.refuse_key(started.run)
            return None
        return started.run
