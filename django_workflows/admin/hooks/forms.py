"""Payloads that people send to hooks, and the forms for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from pydantic import ValidationError as PydanticError

from django_workflows.admin.addresses import hook_url
from django_workflows.admin.forms.schema_forms import SchemaForm, form_for
from django_workflows.admin.payloads import Payload, payload_of, payload_text
from django_workflows.admin.permissions import may, may_see_payloads
from django_workflows.core.details import UNREADABLE
from django_workflows.core.problems import problems_by_field
from django_workflows.core.rendering import metadata_to_json, text_to_show
from django_workflows.errors import HookNotFoundError, WorkflowError
from django_workflows.models import Hook, Run
from django_workflows.replay.defined_hooks import IDENTITY
from django_workflows.store.hooks import (
    NotValidatedHereError,
    find_validator,
    validated,
)
from django_workflows.store.people import steering as people
from django_workflows.store.people.actors import actor_of


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
        return str((self.hook.expects or {}).get(IDENTITY, ""))

    @cached_property
    def unreadable(self) -> Payload | None:
        """What somebody has damaged of its row, as it is; None if that is nothing, or
        hidden."""
        found = [self.hook.facts or {}, self.hook.expects or {}]
        texts = [each[UNREADABLE] for each in found if UNREADABLE in each]
        if not texts or not self.shows_payloads:
            return None
        return payload_text("\n".join(map(text_to_show, texts)))

    @cached_property
    def refusal(self) -> str:
        """Why this user cannot send it anything from here; empty if they can."""
        if self.is_webhook:
            return _("This is a webhook: it takes requests that are sent to its URL.")
        if not may(self.request, "resume"):
            return _("You may not send payloads to hooks.")
        if not self.expects and self.hook.schema:
            return _("No payload can be sent: what it expects cannot be read.")
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
    plain = metadata_to_json(bytes(hook.sealed_metadata), hook.facts)
    return None if plain is None else payload_of(plain)


def hook_form(hook: Hook, data: Any = None) -> SchemaForm:
    """The form for a payload of this hook."""
    # A page may show several.
    return form_for(hook.expects)(data, auto_id=f"{hook.pk}-%s")


def send(request: HttpRequest, hook: Hook, form: SchemaForm) -> Run | None:
    """Send what was entered, noted under the user's name.

    Returns the run that has it now; None if something is wrong with what was entered,
    which the form says by then. Raises HookNotFoundError and NotValidatedHereError.
    """
    if not form.is_valid():
        return None
    try:
        payload = validated(hook, form.value())
        return people.send(actor_of(request.user), hook, payload)
    except PydanticError as error:
        form.add_problems(problems_by_field(error))
    except (HookNotFoundError, NotValidatedHereError):
        raise
    except WorkflowError as error:  # too large, say
        form.add_error(None, str(error))
    return None
