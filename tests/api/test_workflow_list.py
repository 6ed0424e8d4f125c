"""The workflows of a project over HTTP, with JSON schemas."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pydantic import BaseModel

from django_workflows import workflow

pytestmark = pytest.mark.django_db


class Order(BaseModel):
    """What somebody wants."""

    article: str
    price: Decimal


class Opaque:
    """Nothing that JSON could be."""


@workflow(name="tests.listed", version="2", aliases=("tests.old_name",), api=True)
async def listed(order: Order, on: date, note: str = "none", *, fast: bool) -> Order:
    """Handle an order.

    The rest of the docstring.
    """
    return order


@workflow(name="tests.listed", version="10", api=True)
async def listed_newer(order: Order, *notes: str, **more: int) -> list[date]:
    """Handle an order better."""
    return []


@workflow(name="tests.unlisted")
async def unlisted(thing: Opaque, other: "Missing") -> Opaque:  # type: ignore[name-defined]  # noqa: F821, UP037
    return thing


@pytest.fixture
def found() -> dict[str, Any]:
    client = Client()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    answer = client.get("/workflows/api/workflows/").json()
    assert (answer["next"], answer["previous"]) == (None, None)
    names = [shown["name"] for shown in answer["results"]]
    assert names == sorted(set(names))
    return {shown["name"]: shown for shown in answer["results"]}


def test_a_workflow_is_listed_once_in_its_newest_version(found: dict[str, Any]) -> None:
    shown = found["tests.listed"]
    assert shown["versions"] == ["2", "10"]
    assert shown["aliases"] == ["tests.old_name"]
    assert shown["description"] == "Handle an order better."
    assert shown["is_startable"] is True


def test_arguments_are_an_object_with_a_schema_for_each_parameter(
    found: dict[str, Any],
) -> None:
    arguments = found["tests.listed"]["arguments"]
    assert arguments["required"] == ["order"]
    assert arguments["properties"]["order"] == {"$ref": "#/$defs/Order"}
    assert set(arguments["$defs"]["Order"]["properties"]) == {"article", "price"}
    assert arguments["properties"]["notes"]["items"] == {"type": "string"}
    assert arguments["properties"]["more"]["additionalProperties"] == {
        "type": "integer"
    }


def test_results_have_a_schema(found: dict[str, Any]) -> None:
    assert found["tests.listed"]["result"] == {
        "items": {"format": "date", "type": "string"},
        "type": "array",
    }


def test_what_json_schema_cannot_say_is_anything(found: dict[str, Any]) -> None:
    shown = found["tests.unlisted"]
    assert shown["is_startable"] is False
    assert shown["description"] == ""
    assert shown["versions"] == [""]
    assert shown["result"] == {}
    assert shown["arguments"]["required"] == ["thing", "other"]
