"""Hears hints that come through the project's channel layer."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django_workflows.store.layers import GROUP, channel_layer
from django_workflows.store.wakers import Backoff
from django_workflows.store.watching import Watch

logger = logging.getLogger("django_workflows.push")

#: Seconds after which the group is joined again, for memberships expire.
REJOIN = 3600.0


async def listen(watch: Watch) -> None:
    """Tell `watch` what concerns it, until cancelled; without a layer, do nothing."""
    layer = channel_layer()
    if layer is None:
        return
    backoff = Backoff()
    while True:
        try:
            await _listen(layer, watch, backoff)
        except Exception as error:
            # Whatever a layer may raise: without it clients are told a little later.
            logger.warning("lost the channel layer: %s", error)
            await asyncio.sleep(backoff.next())


async def _listen(layer: Any, watch: Watch, backoff: Backoff) -> None:
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    try:
        # What was sent before has gone elsewhere.
        watch.tell()
        backoff.reset()
        async with asyncio.timeout(REJOIN) as membership:
            while True:
                message = await layer.receive(channel)
                if watch.concerns(frozenset(map(tuple, message["hints"]))):
                    watch.tell()
    except TimeoutError:
        if not membership.expired():
            raise
    finally:
        await layer.group_discard(GROUP, channel)
