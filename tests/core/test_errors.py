from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from django_workflows import errors


def _all_errors() -> list[type[errors.WorkflowError]]:
    return [
        cls
        for name, cls in vars(errors).items()
        if isinstance(cls, type)
        and issubclass(cls, errors.WorkflowError)
        and not name.startswith("_")
    ]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [cls.code for cls in _all_errors()]
    assert len(set(codes)) == len(codes)
    assert all("code" in vars(cls) for cls in _all_errors())


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__ is not None
    for cls in _all_errors():
        assert cls.__name__ in errors.__doc__


@pytest.mark.parametrize("cls", _all_errors())
def test_every_error_can_be_made_of_its_message_and_copied(cls: Any) -> None:
    error = cls("m")
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is cls
        assert str(again) == "m"
        assert vars(again) == vars(error)


def test_a_retry_delay_is_checked_at_once() -> None:
    assert errors.RetryableError("m", retry_after="5m").retry_after == "5m"
    then = datetime(2024, 1, 1, tzinfo=UTC)
    assert errors.RetryableError(retry_after=then).retry_after is then
    with pytest.raises(ValueError, match="'soon'"):
        errors.RetryableError("m", retry_after="soon")
    with pytest.raises(ValueError, match="naive"):
        errors.RetryableError("m", retry_after=datetime(2024, 1, 1))


def test_all_problems_are_in_the_message() -> None:
    error = errors.InvalidDefinitionError(problems=["one", "two"])
    assert isinstance(error, ValueError)
    assert str(error) == "one; two"
    assert error.problems == ["one", "two"]


def test_the_cause_is_the_cause() -> None:
    cause = ValueError()
    for cls in (errors.WorkflowRunFailedError, errors.ChildWorkflowError):
        error = cls("m", run_id="r", cause=cause)
        assert error.__cause__ is error.cause is cause
        assert error.run_id == "r"
