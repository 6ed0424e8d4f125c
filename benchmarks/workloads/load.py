"""Many runs, or many steps, at once."""

from __future__ import annotations

import time
from typing import Any

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.machine import CpuTimes, MemoryWatch
from django_workflows import start_many
from django_workflows.replay.definitions import Workflow

#: Seconds without any work before a load begins.
PAUSE = 0.5


def throughput(bench: Bench, rep: int) -> None:
    """`seq10` many times at once: until the caller has the last result."""
    count = bench.sizes.at_once
    steps = 10 * count
    bench.settle(PAUSE)
    cpu_before = CpuTimes.now(bench.fleet.pids)
    with MemoryWatch(bench.fleet.pids) as memory:
        seconds = together(bench, workflows.seq10, count)
    cpu = CpuTimes.now(bench.fleet.pids) - cpu_before
    report = bench.report
    for name in ("machine", "worker", "caller"):
        value = getattr(cpu, name) / steps
        report.add("seq10", f"cpu_ms_per_step_{name}", value, "ms", rep)
    report.add("seq10", "workflows_per_s", count / seconds, "1/s", rep)
    report.add("seq10", "steps_per_s", steps / seconds, "1/s", rep)
    _memory(bench, "throughput", memory, rep)


def together(bench: Bench, workflow: Workflow[[], Any], count: int) -> float:
    """Seconds from the start of `count` runs to the last result."""
    began = time.perf_counter()
    for run in start_many(workflow, [()] * count):
        bench.result(run)
    return time.perf_counter() - began


def long(bench: Bench, rep: int) -> None:
    """Very many steps in sequence, and the first hundred against the last."""
    steps = bench.sizes.long
    bench.settle()
    began = time.perf_counter()
    first, hundredth, last_but_99, last = bench.run(workflows.long, steps)
    total = time.perf_counter() - began
    bench.report.add("long", "total", total, "s", rep, steps=steps)
    bench.report.add("long", "first100", hundredth - first, "s", rep)
    bench.report.add("long", "last100", last - last_but_99, "s", rep)


def sleepers(bench: Bench, rep: int) -> None:
    """Sleeping runs: how late the last one is, and what they need meanwhile."""
    count = bench.sizes.sleepers
    bench.settle(PAUSE)
    with MemoryWatch(bench.fleet.pids) as memory:
        began = time.perf_counter()
        runs = start_many(workflows.sleeper, [()] * count)
        started = time.perf_counter() - began
        for run in runs:
            bench.result(run)
        overhead = time.perf_counter() - began - workflows.SLEEP_SECONDS
    bench.report.add(
        "sleepers",
        "overhead",
        overhead,
        "s",
        rep,
        start_all_s=round(started, 3),
        n=count,
    )
    _memory(bench, "sleepers", memory, rep)


def _memory(bench: Bench, workload: str, memory: MemoryWatch, rep: int) -> None:
    before = round(memory.before, 1)
    add = bench.report.add
    add(workload, "worker_peak_rss", memory.rss, "MiB", rep, before=before)
    add(workload, "worker_peak_pss", memory.pss, "MiB", rep)
    add(workload, "largest_process_peak_rss", memory.largest, "MiB", rep)
