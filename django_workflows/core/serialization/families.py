"""Puts the encodings together. Importing a module registers its types and tags."""

from __future__ import annotations

from django_workflows.core.serialization import containers, scalars, times
from django_workflows.core.serialization.arrays import numpy_family
from django_workflows.core.serialization.classes import (
    dataclass_family,
    enum_family,
    namedtuple_family,
    pydantic_family,
)
from django_workflows.core.serialization.custom import protocol_family
from django_workflows.core.serialization.exceptions import exception_family
from django_workflows.core.serialization.models import lazy_family, model_family
from django_workflows.core.serialization.registry import families
from django_workflows.core.serialization.validation import validation_family

# What a class says about itself comes first. An enum, an exception or a model may be
# a dataclass too, and is more than that.
families[:] = (
    protocol_family,
    enum_family,
    validation_family,
    exception_family,
    model_family,
    lazy_family,
    pydantic_family,
    namedtuple_family,
    dataclass_family,
    numpy_family,
)

__all__ = ["containers", "families", "scalars", "times"]
