"""What pydantic finds wrong with a value from outside, by field."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

#: The name of what is wrong with the value as a whole.
WHOLE = "non_field_errors"


def problems_by_field(error: ValidationError) -> dict[str, list[str]]:
    """Messages by the field that they are about; deeper ones say where in it.

    The values themselves are not repeated: they may be secrets.
    """
    problems: dict[str, list[str]] = {}
    for problem in error.errors(
        include_url=False, include_input=False, include_context=False
    ):
        field, *path = problem["loc"] or (WHOLE,)
        where = ".".join(map(str, path))
        message = f"{where}: {problem['msg']}" if where else problem["msg"]
        problems.setdefault(str(field), []).append(message)
    return problems
