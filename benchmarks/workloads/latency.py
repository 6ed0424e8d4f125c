"""How long one run takes when nothing else is going on."""

from __future__ import annotations

import time

from benchmarks import workflows
from benchmarks.bench import Bench, new_token
from django_workflows import resume_hook, start
from django_workflows.conf import conf

#: Seconds from the start of a `hook` run until it surely waits.
WAITS = 0.3


def seq10(bench: Bench, rep: int) -> None:
    """Ten steps in sequence: start until the caller has the result."""
    times = [bench.timed(workflows.seq10) for _ in range(bench.sizes.latencies)]
    bench.report.latency("seq10", times, rep)


def fan100(bench: Bench, rep: int) -> None:
    """A hundred steps at once, joined."""
    times = [bench.timed(workflows.fan100) for _ in range(bench.sizes.fans)]
    bench.report.latency("fan100", times, rep)


def hop(bench: Bench, rep: int) -> None:
    """Start until the first step executes, by the wall clock."""
    bench.report.latency("hop", _hops(bench, bench.idle), rep)


def hop_cold(bench: Bench, rep: int) -> None:
    """`hop` after a pause in which the workers have stopped lingering."""
    bench.report.latency("hop_cold", _hops(bench, conf.LINGER + 0.5), rep)


def _hops(bench: Bench, pause: float) -> list[float]:
    times = []
    for _ in range(bench.sizes.latencies):
        bench.settle(pause)
        began = time.time()
        times.append(bench.run(workflows.hop)["t"] - began)
    return times


def hook(bench: Bench, rep: int) -> None:
    """A payload is sent to a waiting run: until the caller has the result."""
    times = []
    for _ in range(bench.sizes.latencies):
        token = new_token()
        run = start(workflows.hook, token)
        bench.await_hook(token)
        bench.settle(max(bench.idle, WAITS))
        began = time.perf_counter()
        resume_hook(token, {"token": token})
        bench.result(run)
        times.append(time.perf_counter() - began)
    bench.report.latency("hook", times, rep)
