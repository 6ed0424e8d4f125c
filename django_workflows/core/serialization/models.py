"""Django model instances, by reference: label, primary key and database."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from django_workflows.core.serialization.decode import Decoder
from django_workflows.core.serialization.encode import Encoder
from django_workflows.core.serialization.format import TAG, Node
from django_workflows.core.serialization.names import display_name
from django_workflows.core.serialization.registry import (
    EncodeFunction,
    UnsupportedError,
    decodes,
    encodes,
)
from django_workflows.errors import ModelGoneError, UnknownCodeError


@dataclass(frozen=True)
class ModelRef:
    """What workflow code gets for a model instance; a step gets the instance."""

    app_label: str
    model: str
    """Name of the model, in lower case."""
    pk: Any
    using: str = "default"
    """Alias of the database."""

    @property
    def label(self) -> str:
        """``app_label.model``, as Django writes it."""
        return f"{self.app_label}.{self.model}"

    def get(self) -> Any:
        """The instance, fresh from the database; not for workflow code.

        Raises ``ModelGoneError`` if it has been deleted, ``UnknownCodeError`` if
        there is no such model.
        """
        from django.apps import apps

        try:
            model: Any = apps.get_model(self.app_label, self.model)
        except LookupError as error:
            raise UnknownCodeError(
                f"a payload needs the model {self.label}, which is not installed"
            ) from error
        try:
            return model._base_manager.using(self.using).get(pk=self.pk)
        except model.DoesNotExist:
            raise ModelGoneError(
                f"{self.label} with the primary key {self.pk!r} is gone"
            ) from None

    def __str__(self) -> str:
        return f"{self.label}:{self.pk}"


@encodes(ModelRef)
def _encode_reference(encoder: Encoder, value: ModelRef, depth: int) -> Node:
    reference = encoder.reference(value)
    if reference is not None:
        return reference
    return encoder.finish(value, _node(encoder, value, depth))


def _node(encoder: Encoder, reference: ModelRef, depth: int) -> dict[str, Node]:
    try:
        pk = encoder.encode(reference.pk, depth + 2)
    except UnsupportedError as error:
        raise error.under(".pk") from error.__cause__
    return {
        TAG: "model",
        "v": [reference.app_label, reference.model, pk, reference.using],
    }


@decodes("model")
def _decode_model(decoder: Decoder, node: dict[str, Any], number: int | None) -> Any:
    app_label, model, pk, using = node["v"]
    reference = ModelRef(app_label, model, decoder.decode(pk), using)
    return reference.get() if decoder.fetch_models else reference


def model_family(cls: type) -> EncodeFunction | None:
    base = getattr(sys.modules.get("django.db.models"), "Model", None)
    if base is None or not issubclass(cls, base):
        return None

    def encode(encoder: Encoder, instance: Any, depth: int) -> Node:
        reference = encoder.reference(instance)
        if reference is not None:
            return reference
        if instance.pk is None or instance._state.adding:
            raise UnsupportedError(
                f"an unsaved {display_name(cls)}",
                "model instances are passed by primary key; save it first",
            )
        options = instance._meta
        node = _node(
            encoder,
            ModelRef(
                options.app_label,
                options.model_name,
                instance.pk,
                instance._state.db or "default",
            ),
            depth,
        )
        return encoder.finish(instance, node)

    return encode


def lazy_family(cls: type) -> EncodeFunction | None:
    """What ``request.user`` is: the object itself counts, not its lazy wrapper."""
    lazy = getattr(sys.modules.get("django.utils.functional"), "SimpleLazyObject", None)
    if cls is not lazy:
        return None

    def encode(encoder: Encoder, value: Any, depth: int) -> Node:
        # Asking for its class makes the wrapper find its object.
        if value.__class__ is lazy:
            raise UnsupportedError(display_name(cls), "pass the object inside")
        return encoder.encode(value._wrapped, depth + 1)

    return encode
