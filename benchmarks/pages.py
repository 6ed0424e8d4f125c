"""Times pages that people wait for, and tells which of them take too long."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks.bench import Bench
from benchmarks.output import progress

#: How often each page is taken.
TIMES = 9
#: Milliseconds that a page may take on PostgreSQL.
LIMIT = 200


def take(
    bench: Bench, workload: str, name: str, rep: int, get: Callable[[], object]
) -> None:
    """Report what a page takes, and how many statements it sends to the database."""
    with CaptureQueriesContext(connection) as captured:
        get()
        # Later requests make it forget.
        statements = len(captured)
    taken = [_timed(get) for _ in range(TIMES)]
    times = [milliseconds for milliseconds, _ in taken]
    median = statistics.median(times)
    is_too_slow = median > LIMIT and connection.vendor == "postgresql"
    if is_too_slow:
        bench.complaints.append(f"{workload} {name}: {median:.0f} ms")
        progress(f"TOO SLOW, above {LIMIT} ms: {bench.complaints[-1]}")
    bench.report.add(
        workload,
        name,
        median,
        "ms",
        rep,
        lo=round(min(times), 2),
        hi=round(max(times), 2),
        n=TIMES,
        cpu=round(statistics.median(cpu for _, cpu in taken), 2),
        statements=statements,
        too_slow=is_too_slow,
    )


def _timed(get: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds that it took, and those of a processor in this process."""
    began, cpu = time.perf_counter(), time.process_time()
    get()
    return (time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3
