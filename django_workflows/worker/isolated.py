"""The child of :mod:`django_workflows.worker.isolation`: runs one attempt at a time."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import threading
import time
from base64 import b64decode
from datetime import datetime
from queue import SimpleQueue
from typing import Any, BinaryIO


def main() -> None:
    """Read attempts from standard input, write how they ended, until it is closed."""
    answers = _take_stdout()
    orders: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    import django

    django.setup()
    _use_databases()
    while True:
        line = orders.get()
        answer = json.dumps(_run(json.loads(line))).encode() + b"\n"
        try:
            answers.write(answer)
            answers.flush()
        except BrokenPipeError:
            return  # the worker is gone, and with it whoever wanted to know


def _take_stdout() -> BinaryIO:
    """Keep the pipe for answers; what steps print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _listen(orders: SimpleQueue[bytes]) -> None:
    """Take orders; the end of the pipe is the end of the worker, and of this process.

    Whatever step is under way then is cut off: its worker's death ends the attempt.
    """
    for line in sys.stdin.buffer:
        orders.put(line)
    os._exit(0)


def _use_databases() -> None:
    from django.db import connections

    names = json.loads(os.environ.get("WORKFLOWS_DATABASES", "{}"))
    for alias, name in names.items():
        connections[alias].settings_dict["NAME"] = name


def _run(values: dict[str, Any]) -> dict[str, Any]:
    from django_workflows.worker.attempt import Ended, run_async, run_sync
    from django_workflows.worker.connections import close_broken_connections
    from django_workflows.worker.isolation import dump_ended

    attempt = _load_attempt(values)
    began = time.monotonic()
    if attempt.step.is_async:
        ended: Ended = asyncio.run(run_async(attempt))
    else:
        ended = run_sync(attempt)
        close_broken_connections()
    ended.seconds = time.monotonic() - began
    return dump_ended(ended)


def _load_attempt(values: dict[str, Any]) -> Any:
    from django_workflows.errors import UnknownCodeError
    from django_workflows.replay.definitions import registry
    from django_workflows.worker.attempt import Attempt, load_options

    name, module = values.pop("step"), values.pop("module")
    step = registry.find_step(name)
    if step is None:
        importlib.import_module(module)
        step = registry.find_step(name)
    if step is None:
        raise UnknownCodeError(f"importing {module} does not register the step {name}")
    workflow = values.pop("workflow")
    workflow["started_at"] = datetime.fromisoformat(workflow["started_at"])
    return Attempt(
        step=step,
        settings=load_options(values.pop("options")),
        args=b64decode(values.pop("args")),
        workflow=workflow,
        **values,
    )


if __name__ == "__main__":
    main()
