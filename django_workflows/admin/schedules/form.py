"""The form of a schedule: what it takes, and what of it a save may change."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext as _

from django_workflows.admin.forms.fields import (
    CollectionField,
    MomentField,
    SecondsField,
)
from django_workflows.admin.schedules.texts import TEXTS
from django_workflows.admin.starting.starts import startable_workflows
from django_workflows.core.serialization.hiding import HIDDEN
from django_workflows.definitions.storing import look_at_definitions
from django_workflows.errors import WorkflowError
from django_workflows.models import Definition, Schedule
from django_workflows.models.schedule import CATCHUP_WINDOW
from django_workflows.replay.arguments import ArgumentsError, check_arguments
from django_workflows.replay.registry import registry
from django_workflows.store.rendering import schedule_call

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Schedule]
else:
    _ModelForm = forms.ModelForm

ARGUMENTS = ("args", "kwargs")


class ScheduleForm(_ModelForm):
    """Schedules, added and changed.

    A change stores only what the user has changed: since the page was made, workers
    may have counted runs, and others may have paused the schedule.
    """

    args = CollectionField(list)
    kwargs = CollectionField(dict)
    interval = SecondsField(required=False)
    offset = SecondsField(required=False)
    jitter = SecondsField(required=False)
    catchup_window = SecondsField()
    at = MomentField(required=False)
    start_at = MomentField(required=False)
    end_at = MomentField(required=False)

    class Meta:
        model = Schedule
        fields = (
            "name",
            "workflow",
            "cron",
            "timezone",
            "interval",
            "offset",
            "at",
            "start_at",
            "end_at",
            "remaining_runs",
            "jitter",
            "overlap",
            "catchup_window",
            "paused",
            "note",
        )

    #: What a save was refused for after all: set for the form that shows it.
    refusal: ValidationError | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "catchup_window" in self.fields:
            self.fields["catchup_window"].initial = CATCHUP_WINDOW
        for name, (label, help_text) in TEXTS.items():
            if name in self.fields:
                self.fields[name].label = label
                self.fields[name].help_text = help_text
        self._is_new = self.instance.pk is None
        if "workflow" in self.fields:
            current = "" if self._is_new else self.instance.workflow
            self.fields["workflow"] = forms.ChoiceField(
                label=TEXTS["workflow"][0],
                help_text=TEXTS["workflow"][1],
                choices=target_choices(current),
            )
        if "timezone" in self.fields:
            # The page has the list.
            self.fields["timezone"].widget.attrs["list"] = "schedule-zones"
        if not self._is_new:
            for name, value in readable_call(self.instance).items():
                self.initial.setdefault(name, value)
            for field in self.fields.values():
                field.show_hidden_initial = True

    @property
    def is_preview(self) -> bool:
        """Whether the user wants to see the next times, and save nothing."""
        return "_preview" in self.data

    @property
    def can_be_previewed(self) -> bool:
        """Whether what was sent makes sense; the instance says it then."""
        return self.is_bound and not self.errors

    def is_valid(self) -> bool:
        """Whether it may be saved: never, if it is to be previewed."""
        return super().is_valid() and not self.is_preview

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name in ("offset", "jitter"):
            if name in cleaned and cleaned[name] is None:
                cleaned[name] = 0.0
        if self._is_new:
            return cleaned
        changed = {*self.changed_data}
        return {name: cleaned[name] for name in cleaned if name in changed}

    def add_error(self, field: str | None, error: Any) -> None:
        """Problems of fields that this user does not see are told above the others."""
        if field is None and hasattr(error, "error_dict"):
            known = {NON_FIELD_ERRORS, *self.fields}
            problems: dict[str, list[ValidationError]] = {}
            for name, found in error.error_dict.items():
                if name in ARGUMENTS and name not in known:
                    # What is wrong may repeat them.
                    text = _("Its arguments, which you may not see, do not fit.")
                    found = [ValidationError(text)]
                place = name if name in known else NON_FIELD_ERRORS
                problems.setdefault(place, []).extend(found)
            error = ValidationError(problems)
        super().add_error(field, error)

    def _post_clean(self) -> None:
        # What the model says of half of the values would mislead.
        if not self.errors:
            self._take_arguments()
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]
        if self.refusal is not None and not self.errors:
            self.add_error(None, self.refusal)

    def _take_arguments(self) -> None:
        """Give the instance the arguments, as the annotations want them."""
        if not any(name in self.cleaned_data for name in ARGUMENTS):
            return
        args, kwargs = (self[name].field.clean(self[name].data) for name in ARGUMENTS)
        for name, value in (("args", args), ("kwargs", kwargs)):
            if not self._is_new and HIDDEN in str(value):
                message = _(
                    "What is hidden here would be lost: write out all arguments that "
                    "are to be there from now on."
                )
                self.add_error(name, message)
        if self.errors:
            return
        target = self.cleaned_data.get("workflow", self.instance.workflow)
        workflow = registry.find_workflow(target)
        try:
            if workflow is not None:
                names = list(workflow.signature.parameters)[: len(args)]
                args, kwargs = check_arguments(workflow, args, kwargs)
            self.instance.sealed_input = None
            self.instance.args, self.instance.kwargs = args, kwargs
        except ArgumentsError as error:
            self._tell(error.problems, names)
        except WorkflowError as error:
            self.add_error("kwargs" if kwargs else "args", str(error))

    def _tell(self, problems: Mapping[str, list[str]], by_place: list[str]) -> None:
        for name, messages in problems.items():
            for message in messages:
                if name in ARGUMENTS:
                    self.add_error(name, message)
                else:
                    field = "args" if name in by_place else "kwargs"
                    self.add_error(field, f"{name}: {message}")


def readable_call(schedule: Schedule) -> dict[str, Any]:
    """The arguments of a schedule as JSON data, redacted; empty where this process
    cannot read them."""
    try:
        return schedule_call(schedule)
    except WorkflowError:
        return {}


@cache
def zones() -> list[str]:
    """The names of all time zones."""
    return sorted(available_timezones())


def target_choices(current: str) -> list[Any]:
    """What can be started here, by kind; `current` is among it, known or not."""
    workflows = {each.name for each in startable_workflows()}
    definitions = {
        each.definition_id if isinstance(each, Definition) else each.id: each.name
        for each in look_at_definitions()
    }
    choices: list[Any] = [("", "---------")]
    if current and current not in workflows and current not in definitions:
        label = _("%(name)s (not known here)") % {"name": current}
        choices.append((current, label))
    choices.append((_("Workflows"), [(name, name) for name in sorted(workflows)]))
    named = [
        (key, key if name == key else f"{name} ({key})")
        for key, name in definitions.items()
        if key not in workflows
    ]
    if named:
        choices.append((_("Definitions"), named))
    return choices
