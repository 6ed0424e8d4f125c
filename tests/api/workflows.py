"""Workflows that the tests of the API start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pydantic

from django_workflows import create_hook, sleep, step, workflow


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Item(pydantic.BaseModel):
    name: str
    price: Decimal
    count: Annotated[int, pydantic.Field(ge=1)] = 1


@dataclass
class Address:
    street: str
    since: date


@step(max_retries=0)
def pay(amount: Decimal, password: str = "") -> dict[str, Any]:
    if amount < 0:
        raise ValueError(f"amount={amount} cannot be paid with password={password}")
    return {"paid": amount}


@workflow(name="api.order", api=True)
async def order(
    number: int,
    amount: Decimal = Decimal(1),
    /,
    *more: UUID,
    items: Sequence[Item] = (),
    address: Address | None = None,
    size: Size = Size.SMALL,
    due: datetime | None = None,
    within: timedelta | None = None,
    tags: set[str] = frozenset(),  # type: ignore[assignment]
    **rest: float,
) -> dict[str, Any]:
    return await pay(amount)


@workflow(name="api.pay", api=True)
async def paying(amount: Decimal, password: str = "") -> Any:
    return await pay(amount, password=password)


@workflow(name="api.plain", api=True)
async def plain(value, *args):  # type: ignore[no-untyped-def]
    return [value, *args]


@workflow(name="api.waiting", api=True)
async def waiting(token: str = "secret-token") -> Any:
    with create_hook(token=token) as hook:
        return await hook


@workflow(name="api.sleeping", api=True)
async def sleeping() -> str:
    await sleep("1h")
    return "slept"


@workflow(name="api.secret", api=True, timeout="1d")
async def secret(amount: int, password: pydantic.SecretStr | None = None) -> int:
    return amount


@workflow(name="api.private")
async def private(number: int) -> int:
    return number
