"""``continue_as_new()``: a run ends, and goes on in a new one with an empty log."""

from __future__ import annotations

from typing import Any

from django_workflows.core import serialization
from django_workflows.core.payloads import check_size
from django_workflows.replay.definitions import Workflow


class RunContinues(BaseException):
    """Ends the code of a run that has continued as new.

    Raised by ``continue_as_new()`` and by every workflow call after it: clean-up code
    may run on its way out, but nothing that it does is recorded any more.
    """


def check_successor(
    workflow: Workflow[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bytes:
    """The encoded arguments of a successor.

    Raises TypeError if they don't fit the workflow, SerializationError if they cannot
    be stored.
    """
    workflow.signature.bind(*args, **kwargs)
    return check_size(serialization.dumps_call(args, kwargs))
