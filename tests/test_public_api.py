"""What `from django_workflows import …` offers is complete, importable and lazy."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import django_workflows
from django_workflows import errors

ROOT = Path(__file__).resolve().parents[1]

# The names that other people's code depends on: taking one away breaks them.
PROMISED = {
    "authoring": "workflow step RetryPolicy FatalError RetryableError",
    "in a workflow": (
        "sleep now random uuid4 race first_success create_hook define_hook "
        "get_workflow_metadata start_child patched deprecate_patch saga "
        "set_attributes continue_as_new"
    ),
    "in a step": "get_step_metadata",
    "ready-made steps": "fetch FetchResponse FetchStatusError",
    "starting": "start astart start_many astart_many get_run aget_run",
    "steering": (
        "cancel_runs acancel_runs retry_runs aretry_runs "
        "terminate_runs aterminate_runs BulkResult"
    ),
    "hooks": "resume_hook aresume_hook get_hook_by_token aget_hook_by_token",
    "streams": "get_writable Writable",
    "webhooks": "WebhookRequest WebhookResponse hmac_signature",
    "serialization": "register_type ModelRef",
    "settings": "q_cluster",
}


def typed_names() -> set[str]:
    """Return the names that type checkers see: those imported under TYPE_CHECKING."""
    tree = ast.parse(inspect.getsource(django_workflows))
    return {
        alias.asname or alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


@pytest.mark.parametrize("name", django_workflows.__all__)
def test_name_in_all_is_importable(name: str) -> None:
    assert getattr(django_workflows, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    assert typed_names() == set(django_workflows.__all__) - {"__version__"}


@pytest.mark.parametrize("names", PROMISED.values(), ids=PROMISED.keys())
def test_promised_names_are_there(names: str) -> None:
    assert set(names.split()) <= set(django_workflows.__all__)


def test_every_error_is_public() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value)
        and issubclass(value, errors.WorkflowError)
        and not name.startswith("_")
    }
    assert defined <= set(django_workflows.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = django_workflows.no_such_name


def test_package_works_in_a_settings_module() -> None:
    """Settings call `q_cluster()` when there are neither settings nor apps yet."""
    code = "import django_workflows; django_workflows.q_cluster()"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True)
