"""Workflows that are followed."""

from __future__ import annotations

from django_workflows import create_hook, workflow


@workflow(name="push.answer")
async def answer(token: str) -> str:
    """Waits for a payload and returns it."""
    payload: str = await create_hook(token=token)
    return payload
