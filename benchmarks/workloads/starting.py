"""How fast runs can be started; nobody executes them meanwhile."""

from __future__ import annotations

import time

from benchmarks import workflows
from benchmarks.bench import Bench
from django_workflows import start, start_many
from django_workflows.models import Run

#: A queue that the clusters do not serve.
QUEUE = "unserved"


def starting(bench: Bench, rep: int) -> None:
    """Runs per second with `start_many`, and with one `start` after the other."""
    count = bench.sizes.started
    parked = workflows.seq10.options(queue=QUEUE)
    bench.settle()
    began = time.perf_counter()
    start_many(parked, [()] * count)
    seconds = time.perf_counter() - began
    bench.report.add("start", "start_many_per_s", count / seconds, "1/s", rep, n=count)
    count //= 5
    began = time.perf_counter()
    for _ in range(count):
        start(parked)
    seconds = time.perf_counter() - began
    bench.report.add("start", "start_per_s", count / seconds, "1/s", rep, n=count)
    Run.objects.filter(queue=QUEUE).delete()
