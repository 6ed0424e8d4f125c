"""The editor of definitions: a text in JSON, and all that is wrong with it at once."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.forms.json_text import loss_in, parse_json
from django_workflows.core.rendering import to_json
from django_workflows.definitions.classes import classes
from django_workflows.definitions.reading import examine
from django_workflows.definitions.schema import WorkflowDefinition
from django_workflows.definitions.storing import current_of

#: What a new definition begins with.
EXAMPLE = WorkflowDefinition.model_validate(
    {
        "id": "my-definition",
        "name": "My definition",
        "steps": [
            {"id": "first", "action": "noop"},
            {"id": "second", "action": "noop", "dependsOn": ["first"]},
        ],
    }
)


class DefinitionForm(forms.Form):
    """A definition as text. Once it is valid, it is `definition`.

    `based_on` is the version that the user has begun with; 0 is none.
    """

    text = forms.CharField(
        label=gettext_lazy("Definition, in JSON"),
        strip=False,
        widget=forms.Textarea(
            {"class": "dw-editor", "rows": 30, "spellcheck": "false", "wrap": "off"}
        ),
    )
    based_on = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, definition_id: str | None, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._definition_id = definition_id
        self.definition: WorkflowDefinition | None = None

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"]
        data = parse_json(text)
        if isinstance(data, dict):
            # What the API shows can be pasted here.
            data = {name: value for name, value in data.items() if name != "version"}
        definition, problems = examine(data)
        if lost := loss_in(text):
            problems = [*problems, lost]
        if isinstance(data, dict):
            problems = [*problems, *self._problems_of_id(data.get("id"))]
        if problems or definition is None:
            raise ValidationError(problems)
        self.definition = definition
        return text

    def _problems_of_id(self, given: Any) -> list[str]:
        if self._definition_id is not None and given != self._definition_id:
            text = _("id: it stays %(id)r; another one is another definition, to add")
            return [text % {"id": self._definition_id}]
        if isinstance(given, str) and classes.get(given) is not None:
            text = _("id: %(id)r is written in code, and changes there")
            return [text % {"id": given}]
        return []

    def told_of_others(self) -> bool:
        """Whether somebody else has saved or deleted this since the user began; the
        user is told, and may save after all."""
        if self.definition is None:
            return False
        current = current_of(self.definition.id)
        version = 0 if current is None else current.definition.version or 0
        based_on = self.cleaned_data["based_on"] or 0
        if version == based_on:
            return False
        if not version:
            message = _("It has been deleted meanwhile. Save again to have it back.")
        elif self._definition_id is None:
            message = _(
                "There is a definition of this id already. Save again to make yours "
                "the version after its version %(version)d."
            )
        else:
            message = _(
                "Version %(version)d has been saved meanwhile. Save again to make "
                "yours the version after that."
            )
        self.add_error(None, message % {"version": version})
        self.data = {**self.data, "text": self.data["text"], "based_on": str(version)}
        return True


def pretty(definition: WorkflowDefinition) -> str:
    """A definition as people edit it, redacted."""
    return json.dumps(to_json(definition.content()), ensure_ascii=False, indent=2)
