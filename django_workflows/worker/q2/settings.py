"""Ready-made django-q2 settings, safe to use in a Django settings module.

This module must import neither Django's apps nor its settings.
"""

from __future__ import annotations

import os
from typing import Any

BROKER_CLASS = "django_workflows.broker.WorkflowBroker"

DEFAULT_TIMEOUT = 600
"""Seconds an ordinary task may run before its worker process is replaced."""


def q_cluster(**overrides: Any) -> dict[str, Any]:
    """Return a ``Q_CLUSTER`` dict that runs workflows and ordinary tasks well.

    Every key of django-q2's ``Q_CLUSTER`` can be given as a keyword and wins over
    the default. ``timeout`` and ``retry`` are in seconds and concern ordinary tasks
    only; unless ``retry`` is given it is half as long again as ``timeout``.

    Raises:
        ValueError: ``retry`` is not greater than ``timeout``, so tasks would be
            delivered again while they still run.
    """
    workers = overrides.get("workers") or min(4, os.cpu_count() or 4)
    timeout = overrides.get("timeout", DEFAULT_TIMEOUT)
    settings: dict[str, Any] = {
        "name": "default",
        "orm": "default",
        "broker_class": BROKER_CLASS,
        "workers": workers,
        # A small queue: prefetched messages are withheld from idle clusters.
        "queue_limit": workers,
        "bulk": 10,
        # Saving each success costs more than running the task; failures are kept.
        "save_limit": -1,
        "timeout": timeout,
        "retry": None if timeout is None else int(timeout * 1.5) + 1,
        "max_attempts": 1,
        "ack_failures": True,
        "poll": 0.5,
        "scheduler": False,
        "catch_up": False,
        # Without this key Q_CLUSTER_NAME=<queue> makes django-q2 fail at import.
        "ALT_CLUSTERS": {},
    }
    settings.update(overrides)
    settings["workers"] = workers
    if settings["retry"] is None:
        settings["retry"] = DEFAULT_TIMEOUT * 6
    if timeout is not None and settings["retry"] <= timeout:
        raise ValueError(
            f"q_cluster(): retry ({settings['retry']} s) must be greater than "
            f"timeout ({timeout} s), or tasks run twice."
        )
    return settings
