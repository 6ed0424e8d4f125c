"""The child of :mod:`django_workflows.worker.isolation`: runs one attempt at a time."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from queue import SimpleQueue
from typing import Any, BinaryIO


class Channel:
    """The pipes to the worker: orders come in, what becomes of them goes out."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._writing = threading.Lock()
        self.orders: SimpleQueue[dict[str, Any]] = SimpleQueue()
        #: Called with the reason why the attempt under way shall stop.
        self.on_stop: Callable[[str], None] = lambda why: None

    def say(self, **answer: Any) -> None:
        """Tell the worker. If it is gone, so is whoever wanted to know."""
        try:
            with self._writing:
                self._answers.write(json.dumps(answer).encode() + b"\n")
                self._answers.flush()
        except BrokenPipeError:
            os._exit(0)

    def listen(self) -> None:
        """Take orders; the end of the pipe is the end of the worker, and of this
        process.

        Whatever step is under way then is cut off: its worker's death ends the attempt.
        """
        for line in sys.stdin.buffer:
            order = json.loads(line)
            if "stop" in order:
                self.on_stop(order["stop"])
            else:
                self.orders.put(order)
        os._exit(0)


def main() -> None:
    """Read attempts from standard input, write how they ended, until it is closed."""
    channel = Channel(_take_stdout())
    threading.Thread(target=channel.listen, daemon=True).start()
    import django

    django.setup()
    _use_databases()
    while True:
        channel.say(ended=_run(channel.orders.get(), channel))


def _take_stdout() -> BinaryIO:
    """Keep the pipe for answers; what steps print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _use_databases() -> None:
    from django.db import connections

    names = json.loads(os.environ.get("WORKFLOWS_DATABASES", "{}"))
    for alias, name in names.items():
        connections[alias].settings_dict["NAME"] = name


def _run(values: dict[str, Any], channel: Channel) -> dict[str, Any]:
    from django_workflows.worker.attempt import Ended
    from django_workflows.worker.connections import close_broken_connections
    from django_workflows.worker.isolation import dump_ended
    from django_workflows.worker.running import run_async, run_sync

    attempt = _load_attempt(values)
    pulse = attempt.pulse

    def tell(has_details: bool) -> None:
        details = pulse.details if has_details else None
        encoded = None if details is None else b64encode(details).decode()
        channel.say(details=encoded)

    pulse.on_beat = tell
    channel.on_stop = lambda why: setattr(pulse, "stopped", why)
    channel.say(begun=True)
    began = time.monotonic()
    if attempt.step.is_async:
        ended: Ended = asyncio.run(_run_async(run_async(attempt), pulse, channel))
    else:
        ended = run_sync(attempt)
        close_broken_connections()
    ended.seconds = time.monotonic() - began
    return dump_ended(ended)


async def _run_async(running: Any, pulse: Any, channel: Channel) -> Any:
    loop = asyncio.get_running_loop()
    task = loop.create_task(running)

    def stop(why: str) -> None:
        pulse.stopped = why
        with suppress(RuntimeError):  # the attempt has ended, and its loop is closed
            loop.call_soon_threadsafe(task.cancel)

    channel.on_stop = stop
    if pulse.stopped:
        await asyncio.sleep(0)  # a task cancelled earlier would not even begin
        task.cancel()
    return await task


def _load_attempt(values: dict[str, Any]) -> Any:
    from django_workflows.errors import UnknownCodeError
    from django_workflows.replay.registry import registry
    from django_workflows.worker.attempt import Attempt, load_options

    name, module = values.pop("step"), values.pop("module")
    step = registry.find_step(name)
    if step is None:
        importlib.import_module(module)
        step = registry.find_step(name)
    if step is None:
        raise UnknownCodeError(f"importing {module} does not register the step {name}")
    workflow, heartbeat = values.pop("workflow"), values.pop("heartbeat")
    workflow["started_at"] = datetime.fromisoformat(workflow["started_at"])
    return Attempt(
        step=step,
        settings=load_options(values.pop("options")),
        args=b64decode(values.pop("args")),
        heartbeat=None if heartbeat is None else b64decode(heartbeat),
        workflow=workflow,
        **values,
    )


if __name__ == "__main__":
    main()
