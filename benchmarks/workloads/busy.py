"""Latency while a CPU-bound step holds the interpreter of one worker process."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import workflows
from benchmarks.bench import Bench, until
from django_workflows import start

#: The busy step ends by itself after so many seconds, should nobody end it.
LIMIT = 300.0


def seq10_busy(bench: Bench, rep: int) -> None:
    """`seq10` beside a busy step.

    The runs that had a step in the busy process are counted in ``beside``, and
    ``beside_median`` (ms) is theirs alone.
    """
    times: list[float] = []
    beside: list[float] = []
    with TemporaryDirectory(prefix="benchmarks-busy-") as folder:
        pid_file = Path(folder, "pid")
        run = start(workflows.busy, folder, LIMIT)
        try:
            until("the busy step", lambda: _is_written(pid_file), interval=0.01)
            for _ in range(bench.sizes.latencies):
                bench.settle()
                began = time.perf_counter()
                places = bench.run(workflows.seq10_placed)
                times.append(time.perf_counter() - began)
                if int(pid_file.read_text()) in places:
                    beside.append(times[-1])
        finally:
            Path(folder, "stop").touch()
            bench.result(run)
    bench.report.latency(
        "seq10_busy",
        times,
        rep,
        beside=len(beside),
        beside_median=round(statistics.median(beside) * 1e3, 2) if beside else None,
    )


def _is_written(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
