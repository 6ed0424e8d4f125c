"""Values to bytes and back, exactly, without ever running what the bytes say.

The bytes are JSON. What JSON has no word for is an object with the key ``"$"``; a
dict that has this key itself is written another way, so data from outside can never
be taken for one. See ``registry`` for how a type gets its encoding.
"""

from __future__ import annotations

from django_workflows.core.serialization.canonical import canonical
from django_workflows.core.serialization.custom import register_type
from django_workflows.core.serialization.dump import dumps, dumps_call
from django_workflows.core.serialization.families import families
from django_workflows.core.serialization.load import loads, loads_call
from django_workflows.core.serialization.models import ModelRef
from django_workflows.core.serialization.plain import to_plain

__all__ = [
    "ModelRef",
    "canonical",
    "dumps",
    "dumps_call",
    "families",
    "loads",
    "loads_call",
    "register_type",
    "to_plain",
]
