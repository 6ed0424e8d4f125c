"""Does a run cost more when many are stored already?"""

from __future__ import annotations

import statistics

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.machine import MemoryWatch
from benchmarks.output import progress
from benchmarks.stored import fill, tidy
from benchmarks.workloads.load import PAUSE, together
from django_workflows import start

#: How often the load is repeated at each size.
SAMPLES = 3


def growth(bench: Bench, rep: int) -> None:
    """Latency, time per run and memory with ever more closed `seq10` runs stored.

    The rows are ``growth_<runs stored>``. ``ms_per_run`` is what one of many runs
    at once takes.
    """
    template = start(workflows.seq10)
    bench.result(template)
    report, count = bench.report, bench.sizes.at_once
    filled = 0
    for stored in bench.sizes.stored:
        progress(f"growth: storing {stored:,} runs")
        fill(template, filled + 1, stored)
        filled = stored
        tidy()
        together(bench, workflows.seq10, count)
        name = f"growth_{stored}"
        with MemoryWatch(bench.fleet.pids) as memory:
            latencies = [
                bench.timed(workflows.seq10) for _ in range(bench.sizes.latencies)
            ]
            per_run = []
            for _ in range(SAMPLES):
                bench.settle(PAUSE)
                seconds = together(bench, workflows.seq10, count)
                per_run.append(seconds / count * 1e3)
        report.latency(name, latencies, rep)
        report.add(
            name,
            "ms_per_run",
            statistics.median(per_run),
            "ms",
            rep,
            lo=round(min(per_run), 2),
            hi=round(max(per_run), 2),
        )
        report.add(name, "worker_peak_rss", memory.rss, "MiB", rep)
        report.add(name, "largest_process_peak_rss", memory.largest, "MiB", rep)
