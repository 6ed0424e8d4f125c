"""The code that the open runs began with."""

from __future__ import annotations

import time
from typing import Any

from django_workflows import create_hook, start_child, workflow
from tests.rehearsal.steps import pack, settle, ship


@workflow
async def order(number: int, waits: str) -> list[str]:
    done = [await pack(number, waits == "packing")]
    await settle(number, waits)
    done.append(await ship(number))
    return done


@workflow
async def signup(number: int) -> str:
    payload: str = await create_hook(token=f"signup-{number}")
    return f"{payload} signed up"


@workflow(version="1")
async def quote(number: int) -> str:
    payload: str = await create_hook(token=f"quote-{number}")
    return f"{payload} quoted"


@workflow
async def audit(number: int) -> list[str]:
    done = [await pack(number)]
    time.time()  # a mistake: this blocks the run
    return done


@workflow
async def basket(number: int) -> Any:
    return await start_child(order, number, "on a hook")
