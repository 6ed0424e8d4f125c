"""The workloads by name, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.workloads import (
    busy,
    console,
    growth,
    latency,
    limits,
    lists,
    load,
    push,
    replay,
    sql,
    starting,
    streams,
)

#: Takes the bench and the number of the repetition.
Workload = Callable[[Bench, int], None]

#: Measured in every repetition.
REPEATED: dict[str, Workload] = {
    "seq10": latency.seq10,
    "throughput": load.throughput,
    "fan100": latency.fan100,
    "hop": latency.hop,
    "hook": latency.hook,
    "long": load.long,
    "sleepers": load.sleepers,
    "seq10_busy": busy.seq10_busy,
    "hop_cold": latency.hop_cold,
    "replay": replay.replay,
    "start": starting.starting,
    "limits": limits.limits,
    "streams": streams.streams,
    "push": push.push,
}

#: Measured once, after the others.
ONCE: dict[str, Workload] = {"sql": sql.sql}

#: Measured once, and only when asked for by name: they take many minutes.
ON_REQUEST: dict[str, Workload] = {
    "growth": growth.growth,
    "lists": lists.lists,
    "console": console.console,
}
