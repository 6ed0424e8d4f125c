"""Hints through a channel layer, where nothing else tells of what is written."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_workflows import start
from django_workflows.push import hub
from django_workflows.store import watching
from django_workflows.store.wakers import Waker
from tests.faults.threads import one_worker
from tests.push.sockets import connected
from tests.push.workflows import counting

REDIS_URL = "redis://127.0.0.1:6379/9"


class DeafWaker(Waker):
    """Hears of nothing but its end."""

    def __init__(self, *args: Any) -> None:
        self._woken = threading.Event()

    def wait(self, timeout: float) -> bool:
        self._woken.wait(timeout)
        return False

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None: ...


@pytest.fixture(params=["RedisChannelLayer", "RedisPubSubChannelLayer"])
def layer(request: pytest.FixtureRequest, settings: Any) -> Iterator[None]:
    redis = pytest.importorskip("redis")
    client = redis.Redis.from_url(REDIS_URL)
    try:
        client.ping()
    except redis.ConnectionError:
        pytest.skip("no Redis at 127.0.0.1:6379")
    module = {"RedisChannelLayer": "core", "RedisPubSubChannelLayer": "pubsub"}
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": f"channels_redis.{module[request.param]}.{request.param}",
            "CONFIG": {"hosts": [REDIS_URL]},
        }
    }
    yield
    client.close()


@pytest.mark.usefixtures("layer")
async def test_layer_tells_what_nothing_else_does(
    staff: dict[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WORKFLOWS = {"LINGER": "10ms"}
    monkeypatch.setattr(watching, "make_waker", DeafWaker)
    monkeypatch.setattr(hub, "LONGEST_PAUSE", 3600.0)
    run = await sync_to_async(start)(counting, 20, 0.01)
    async with connected(run.pk, "", staff) as socket:
        assert (await socket.receive())["status"] == "pending"
        with one_worker():
            messages, code = await socket.rest()
    assert [m["data"] for m in messages if m["type"] == "chunk"] == list(range(20))
    assert messages[-1] == {"type": "closed"}
    assert code == 1000
