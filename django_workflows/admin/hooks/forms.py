"""Payloads that people send to hooks, and the forms for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from pydantic import ValidationError as PydanticError

from django_workflows.admin.addresses import hook_url
from django_workflows.admin.forms.schema_forms import SchemaForm, form_for
from django_workflows.admin.payloads import Payload, payload_of
from django_workflows.admin.permissions import may, may_see_payloads
from django_workflows.admin.runs.steering import SENT, log_change, noted
from django_workflows.core.problems import problems_by_field
from django_workflows.core.rendering import metadata_to_json
from django_workflows.errors import HookNotFoundError, WorkflowError
from django_workflows.models import Hook, Run
from django_workflows.replay.defined_hooks import IDENTITY
from django_workflows.store.database import alias
from django_workflows.store.hooks import (
    NotValidatedHereError,
    find_validator,
    resume_this_hook,
    validated,
)


@dataclass
class OpenHook:
    """An active hook as a user sees it, with the form by which it is resumed."""

    hook: Hook
    request: HttpRequest
    #: The form as it was sent; an empty one otherwise.
    sent: SchemaForm | None = None
    #: Payloads that it has received so far.
    received: int | None = None

    @property
    def url(self) -> str:
        return hook_url(self.hook)

    @property
    def resume_url(self) -> str:
        """Where the form is sent, which leads back to the run if the hook is gone."""
        url = reverse("admin:django_workflows_hook_resume", args=[quote(self.hook.pk)])
        return f"{url}?{urlencode({'run': self.hook.run_id})}"

    @property
    def says_id(self) -> str:
        """Names what it says in a page, which may be folded."""
        return f"{self.hook.pk}-says"

    @property
    def is_webhook(self) -> bool:
        return bool(self.hook.webhook)

    @property
    def shows_payloads(self) -> bool:
        return may_see_payloads(self.request)

    @cached_property
    def metadata(self) -> Payload | None:
        """What the workflow says about it; None if that is nothing, or hidden."""
        return metadata_of(self.hook) if self.shows_payloads else None

    @cached_property
    def expects(self) -> str:
        """The name of the Python type of its payloads; empty if anything goes."""
        if not self.hook.schema:
            return ""
        return str(json.loads(self.hook.schema).get(IDENTITY, ""))

    @cached_property
    def refusal(self) -> str:
        """Why this user cannot send it anything from here; empty if they can."""
        if self.is_webhook:
            return _("This is a webhook: it takes requests that are sent to its URL.")
        if not may(self.request, "resume"):
            return _("You may not send payloads to hooks.")
        try:
            find_validator(self.hook)
        except NotValidatedHereError:
            return _(
                "No payload can be sent from here: this process does not know "
                "%(type)s, which checks them. Let the web process import the module "
                "with its define_hook(), a workflows.py for example."
            ) % {"type": self.expects}
        return ""

    @cached_property
    def form(self) -> SchemaForm | None:
        """The form for a payload; None if there is a `refusal`."""
        if self.refusal:
            return None
        return self.sent or hook_form(self.hook)

    def rows(self) -> list[dict[str, Any]]:
        """The fields, for the template that shows them."""
        return [{"field": field} for field in self.form or ()]


def metadata_of(hook: Hook) -> Payload | None:
    """What the workflow says about a hook, for those who may see payloads; None if that
    is nothing."""
    if hook.sealed_metadata is None:
        return None
    webhook = json.loads(hook.webhook) if hook.webhook else None
    plain = metadata_to_json(bytes(hook.sealed_metadata), webhook)
    return None if plain is None else payload_of(plain)


def hook_form(hook: Hook, data: Any = None) -> SchemaForm:
    """The form for a payload of this hook."""
    schema = json.loads(hook.schema) if hook.schema else None
    # A page may show several.
    return form_for(schema)(data, auto_id=f"{hook.pk}-%s")


@sensitive_variables()
def send(request: HttpRequest, hook: Hook, form: SchemaForm) -> Run | None:
    """Send what was entered, and note in the admin's log who did it.

    Returns the run that has it now; None if something is wrong with what was entered,
    which the form says by then. Raises HookNotFoundError and NotValidatedHereError.
    """
    if not form.is_valid():
        return None
    try:
        payload = validated(hook, form.value())
        return noted(lambda: _send(request, hook, payload))
    except PydanticError as error:
        form.add_problems(problems_by_field(error))
    except (HookNotFoundError, NotValidatedHereError):
        raise
    except WorkflowError as error:  # too large, say
        form.add_error(None, str(error))
    return None


@sensitive_variables()
def _send(request: HttpRequest, hook: Hook, payload: Any) -> Run:
    with transaction.atomic(using=alias()):
        run = resume_this_hook(hook, payload)
        log_change(request, run, f"{SENT}: {hook.pk}")
    return run
