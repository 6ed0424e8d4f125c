"""The input of a run that has been, for starting another one with some of it changed.

A form gives JSON, and not every value survives that: a tuple becomes a list, a zone an
offset. What would come back as anything else than it was is not put into the form, but
offered to be kept: then the new run is given the very value that the earlier one had.
The same goes for what is not to be shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from django_workflows.admin.forms.schema_fields import EMPTY
from django_workflows.admin.forms.schema_forms import SchemaForm
from django_workflows.admin.payloads import Payload, payload_of
from django_workflows.core.rendering import to_json
from django_workflows.core.serialization import canonical, dumps
from django_workflows.errors import WorkflowError
from django_workflows.models import Run
from django_workflows.replay.arguments import ArgumentsError
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.named_arguments import (
    argument_as_json,
    check_named_arguments,
    named_arguments,
)


@dataclass(frozen=True)
class Kept:
    """A value that a form cannot give back."""

    value: Any
    #: For people.
    shown: Payload
    reason: str


@dataclass
class EarlierInput:
    """What a run was started with, as far as a form can take it."""

    run: Run
    #: Texts for the fields of the form.
    initial: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    #: Why nothing of it can be taken over.
    problem: str = ""


def earlier_input(
    run: Run, workflow: Workflow[..., Any], form_class: type[SchemaForm]
) -> EarlierInput:
    """The input of a run for a form of this workflow."""
    found = EarlierInput(run)
    try:
        named = named_arguments(workflow, run.args, run.kwargs)
    except WorkflowError as error:
        found.problem = _("Its input cannot be read: %(error)s") % {"error": error}
        return found
    except TypeError as error:
        found.problem = _(
            "Its input does not fit the parameters that the workflow has by now: "
            "%(error)s"
        ) % {"error": error}
        return found
    form = form_class()
    for name, value in named.items():
        shown = _shown(name, value)
        if shown != _shown(name, value, redact=False):
            hidden = _("It is not to be shown.")
            found.kept[name] = Kept(value, payload_of(shown), hidden)
            continue
        try:
            found.initial[name] = _written(workflow, form, name, value)
        except _ChangesError:
            reason = _("A form would change it: JSON has no words for all of it.")
            found.kept[name] = Kept(value, payload_of(shown), reason)
    return found


def _shown(name: str, value: Any, *, redact: bool = True) -> Any:
    shown = to_json({name: value}, redact=redact)
    return shown[name] if isinstance(shown, dict) else shown


class _ChangesError(Exception):
    """A form would make another value of it."""


def _written(
    workflow: Workflow[..., Any], form: SchemaForm, name: str, value: Any
) -> Any:
    """What has to be in the field so that untouched it gives exactly this value."""
    entry, part = form.fields[name], form.parts[name]
    others = [other for other in workflow.signature.parameters if other != name]
    try:
        plain = argument_as_json(workflow, name, value)
        written = "" if plain is None and part.is_nullable else entry.written(plain)  # type: ignore[attr-defined]
        if isinstance(written, str):
            written.encode()
        given = part.meaning(entry.clean(entry.sent(written)))  # type: ignore[attr-defined]
        if given is EMPTY:
            back = workflow.signature.parameters[name].default
        else:
            back = check_named_arguments(workflow, {name: given}, others)[name]
        is_same = canonical(dumps(back)) == canonical(dumps(value))
    except (ValueError, ValidationError, ArgumentsError, WorkflowError) as error:
        raise _ChangesError from error
    if not is_same:
        raise _ChangesError
    return written
