"""Checks of workflow source: webhooks that anybody could send to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from inspect import signature
from typing import Any

from django.core import checks

from django_workflows.checks.sources import Source, read_workflows
from django_workflows.core.signatures import HmacSignature, hmac_signature
from django_workflows.replay.webhooks import create_webhook

_PARAMETERS = list(signature(create_webhook).parameters)
_SHORTEST_SECRET = 16
"""Characters; fewer can be tried out by whoever has seen one signed request."""


@checks.register("workflows")
def check_webhooks(**kwargs: Any) -> list[checks.CheckMessage]:
    """A webhook with a token of its own choosing verifies who sends."""
    return [
        checks.Warning(
            f"{code.filename}:{node.lineno}: the workflow {code.workflow.name} makes a "
            "webhook with a token of its own and without verify=: whoever guesses the "
            "token can send to it.",
            hint="Add verify=hmac_signature(...), or leave the token out: then one is "
            "made that nobody can guess.",
            obj=code.workflow,
            id="django_workflows.W002",
        )
        for code in read_workflows()
        for node in code.nodes()
        if isinstance(node, ast.Call)
        and _is_create_webhook(code.scope.resolve(node.func))
        and _can_be_guessed(node)
    ]


def _is_create_webhook(target: Any) -> bool:
    # The package loads its names late: then they are known as a path alone.
    return target is create_webhook or target == "django_workflows.create_webhook"


def _can_be_guessed(call: ast.Call) -> bool:
    if any(isinstance(arg, ast.Starred) for arg in call.args):
        return False
    given = dict(zip(_PARAMETERS, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None:
            return False  # what ** stands for is not known here
        given[keyword.arg] = keyword.value
    return _is_given(given.get("token")) and not _is_given(given.get("verify"))


def _is_given(value: ast.expr | None) -> bool:
    """Whether an argument is there, and is not simply None."""
    if value is None:
        return False
    return not (isinstance(value, ast.Constant) and value.value is None)


@checks.register("workflows", deploy=True)
def check_secrets(**kwargs: Any) -> list[checks.CheckMessage]:
    """The settings that webhooks are verified with hold secrets worth the name."""
    messages: dict[tuple[str, str], checks.CheckMessage] = {}
    for code in read_workflows():
        for found in _signatures(code):
            message = _problem(found, code)
            if message is not None:
                messages.setdefault((found.secret, found.scheme), message)
    return list(messages.values())


def _problem(found: HmacSignature, code: Source) -> checks.CheckMessage | None:
    usable = found.usable_secrets()
    if not usable:
        return checks.Warning(
            f"The setting {found.secret} holds no secret: every request to the webhook "
            f"of the workflow {code.workflow.name} is refused.",
            hint=f"Set {found.secret} to what {found.scheme} signs with; "
            '"whsec_" must be followed by base64.',
            obj=code.workflow,
            id="django_workflows.W043",
        )
    if min(map(len, usable)) < _SHORTEST_SECRET:
        return checks.Warning(
            f"The setting {found.secret} holds a secret shorter than "
            f"{_SHORTEST_SECRET} characters: requests to the webhook of the workflow "
            f"{code.workflow.name} could be forged.",
            hint="Make one with secrets.token_urlsafe().",
            obj=code.workflow,
            id="django_workflows.W044",
        )
    return None


def _signatures(code: Source) -> Iterator[HmacSignature]:
    """The signatures that a workflow names, or makes of what stands in its source."""
    for node in code.nodes():
        if isinstance(node, ast.Name | ast.Attribute):
            value = code.scope.resolve(node)
            if isinstance(value, HmacSignature):
                yield value
        elif isinstance(node, ast.Call):
            target = code.scope.resolve(node.func)
            if target is hmac_signature or target == "django_workflows.hmac_signature":
                yield from _made_by(node)


def _made_by(call: ast.Call) -> Iterator[HmacSignature]:
    args: list[Any] = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    kwargs: dict[str, Any] = {
        keyword.arg: keyword.value.value
        for keyword in call.keywords
        if keyword.arg and isinstance(keyword.value, ast.Constant)
    }
    if len(args) + len(kwargs) < len(call.args) + len(call.keywords):
        return  # what it is made of is known when it runs
    try:
        yield hmac_signature(*args, **kwargs)
    except (TypeError, ValueError):
        return  # as it will say itself
