"""A check of workflow source: webhooks that anybody could send to."""

from __future__ import annotations

import ast
from inspect import signature
from typing import Any

from django.core import checks

from django_workflows.checks.sources import read_workflows
from django_workflows.replay.webhooks import create_webhook

_PARAMETERS = list(signature(create_webhook).parameters)


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
