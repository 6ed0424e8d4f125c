"""The page that starts an execution of a definition."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.addresses import run_url
from django_workflows.admin.forms.fields import parse_json
from django_workflows.admin.permissions import may
from django_workflows.admin.starting.options import StartOptionsForm
from django_workflows.admin.starting.starts import start_noted
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
        return parse_json(text) if text.strip() else {}


class ExecutionForm:
    """The input and the options of an execution, empty or as they were sent."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        data = request.POST if request.method == "POST" else None
        self.input = InputForm(data)
        self.options = StartOptionsForm(
            run_definition, data, may_terminate=may(request, "terminate")
        )

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"field": field} for field in self.input]

    @property
    def option_rows(self) -> list[dict[str, Any]]:
        return [{"field": field} for field in self.options]

    def start(self, current: Current) -> Run | None:
        """Start what is described; None if something is wrong with it, which the forms
        say by then."""
        if not all([self.input.is_valid(), self.options.is_valid()]):
            return None
        given, options = self.input.cleaned_data["input"], self.options.options()
        try:
            workflow, args = call_of(current.stored(), given, options)
            started = start_noted(self._request, workflow, args, {})
        except (WorkflowError, ValueError, TypeError) as error:
            self.input.add_error(None, str(error))
            return None
        if not started.is_new:
            url, run = run_url(started.run), started.run.pk
            text = _('Nothing was started: <a href="{}">run {}</a> has this key.')
            self.options.add_error("key", format_html(text, url, run))
            return None
        return started.run
