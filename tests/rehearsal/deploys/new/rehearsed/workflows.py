"""The new code, with the change of `order` guarded."""

from __future__ import annotations

from typing import Any

from django_workflows import create_hook, patched, start_child, workflow
from tests.rehearsal.steps import insure, pack, settle, ship


@workflow
async def order(number: int, waits: str) -> list[str]:
    done = [await pack(number, waits == "packing")]
    if patched("insurance"):
        done.append(await insure(number))
    await settle(number, waits)
    done.append(await ship(number))
    return done


@workflow(aliases=["rehearsed.workflows.signup"])
async def enrol(number: int) -> str:
    payload: str = await create_hook(token=f"signup-{number}")
    return f"{payload} enrolled"


@workflow(name="rehearsed.workflows.quote", version="1")
async def quote_1(number: int) -> str:
    payload: str = await create_hook(token=f"quote-{number}")
    return f"{payload} quoted"


@workflow(version="2")
async def quote(number: int) -> str:
    return "quoted at once"


@workflow
async def audit(number: int) -> list[str]:
    return [await pack(number), "audited"]


@workflow
async def basket(number: int) -> Any:
    return await start_child(order, number, "on a hook")
