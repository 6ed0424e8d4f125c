"""The form for how a run is started, besides its input."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.utils import from_current_timezone
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.addresses import run_url
from django_workflows.admin.forms.fields import SecondsField
from django_workflows.admin.forms.schema_fields import EMPTY, JsonField
from django_workflows.core.attributes import plain_attributes
from django_workflows.core.durations import resolve
from django_workflows.models import Run
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.options import check_name, check_priority


class StartOptionsForm(forms.Form):
    """Options as `start()` takes them; what is left empty is the workflow's own."""

    key = forms.CharField(
        label=gettext_lazy("Key"),
        required=False,
        max_length=255,
        strip=False,
        help_text=gettext_lazy("No two runs of a workflow have the same key."),
        widget=forms.TextInput({"class": "vTextField"}),
    )
    on_conflict = forms.ChoiceField(
        label=gettext_lazy("If another run has the key"),
        required=False,
        choices=[
            ("reject", gettext_lazy("Start nothing, and show that run")),
            ("restart_closed", gettext_lazy("Start a new run if that one has ended")),
        ],
    )
    queue = forms.CharField(
        label=gettext_lazy("Queue"),
        required=False,
        max_length=100,
        strip=False,
        widget=forms.TextInput({"class": "vTextField"}),
    )
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        required=False,
        help_text=gettext_lazy("Runs with a larger one are taken first."),
        widget=forms.NumberInput({"class": "vIntegerField"}),
    )
    delay = forms.CharField(
        label=gettext_lazy("Delay"),
        required=False,
        help_text=gettext_lazy(
            "A duration such as 10m or 1h30m, or a point in time: 2030-12-31 18:00"
        ),
        widget=forms.TextInput({"class": "vTextField"}),
    )
    timeout = SecondsField(
        label=gettext_lazy("Timeout"),
        required=False,
        help_text=gettext_lazy("A duration after which the run is ended."),
        widget=forms.TextInput({"class": "vTextField"}),
    )
    attributes = JsonField(
        label=gettext_lazy("Attributes"),
        required=False,
        schema={},
        help_text=gettext_lazy('To find the run by, as JSON: {"customer": 7}'),
    )

    def __init__(
        self,
        workflow: Workflow[..., Any],
        *args: Any,
        may_terminate: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._workflow = workflow
        # Parameters come first: should one be named like an option, that gives way.
        self._mark = "option_"
        while any(
            name.startswith(self._mark) for name in workflow.signature.parameters
        ):
            self._mark += "_"
        settings = workflow.settings
        self.fields["queue"].widget.attrs["placeholder"] = settings.queue
        self.fields["priority"].widget.attrs["placeholder"] = settings.priority
        if may_terminate:
            choice = self.fields["on_conflict"]
            assert isinstance(choice, forms.ChoiceField)
            choice.choices = [
                *StartOptionsForm.base_fields["on_conflict"].choices,  # type: ignore[attr-defined]
                ("terminate_existing", _("Terminate that run, and start a new one")),
            ]

    def add_prefix(self, field_name: str) -> str:
        """Fields are named `option_<name>`."""
        return f"{self._mark}{field_name}"

    @property
    def is_used(self) -> bool:
        """Whether any of it is filled in, or wrong."""
        if not self.is_bound:
            return bool(self.initial)
        sent = (self.data.get(self.add_prefix(name)) for name in self.fields)
        return bool(self.errors) or any(
            value not in (None, "", "reject") for value in sent
        )

    def options(self) -> dict[str, Any]:
        """What was entered, for `Workflow.options()`. For valid forms."""
        given = {
            name: value
            for name, value in self.cleaned_data.items()
            if value not in (None, "") and value is not EMPTY
        }
        return {**given, "on_conflict": given.get("on_conflict", "reject")}

    def refuse_key(self, holder: Run) -> None:
        """Say that nothing was started, as this run has the key."""
        text = _('Nothing was started: <a href="{}">run {}</a> has this key ({}).')
        url, status = run_url(holder), holder.get_status_display()
        self.add_error("key", format_html(text, url, holder.pk, status))

    def clean_key(self) -> str:
        return _named("key", self.cleaned_data["key"], 255)

    def clean_queue(self) -> str:
        return _named("queue", self.cleaned_data["queue"], 100)

    def clean_priority(self) -> int | None:
        priority: int | None = self.cleaned_data["priority"]
        if priority is not None:
            _try(check_priority, priority)
        return priority

    def clean_delay(self) -> Any:
        text = self.cleaned_data["delay"]
        if not text:
            return None
        delay = _moment_or_duration(text)
        # Beyond the calendar is also what is so by its deadline.
        begin = _try(resolve, delay, timezone.now())
        _try(resolve, self._workflow.settings.timeout or 0, begin)
        return delay

    def clean_timeout(self) -> float | None:
        seconds: float | None = self.cleaned_data["timeout"]
        if seconds is not None:
            _try(resolve, seconds, timezone.now())
        return seconds

    def clean_attributes(self) -> Any:
        value = self.cleaned_data["attributes"]
        return value if value is EMPTY else _try(plain_attributes, value)


def _named(what: str, text: str, longest: int) -> str:
    if text:
        _try(check_name, what, text, longest)
    return text


def _moment_or_duration(text: str) -> Any:
    try:
        moment = parse_datetime(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None
    return _number(text) if moment is None else from_current_timezone(moment)


def _number(text: str) -> Any:
    """Plain seconds, if that is what the text says."""
    try:
        return float(text)
    except ValueError:
        return text


def _try(check: Any, *values: Any) -> Any:
    try:
        return check(*values)
    except ValueError as error:
        raise ValidationError(str(error)) from None
