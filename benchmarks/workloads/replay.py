"""A run with a long history goes on in a process that has never seen it."""

from __future__ import annotations

import time

from benchmarks import workflows
from benchmarks.bench import Bench, new_token
from django_workflows import resume_hook, start


def replay(bench: Bench, rep: int) -> None:
    """Resume a long run in fresh worker processes.

    ``resume`` is the time from the hook's payload to the next step, ``resume_end``
    to the result that the caller sees, ``record`` what the history took to write.
    """
    token = new_token()
    began = time.perf_counter()
    run = start(workflows.recorded, bench.sizes.recorded, token)
    bench.await_hook(token)
    recorded = time.perf_counter() - began
    events = len(run.history())
    bench.fleet.stop()
    bench.fleet.start()
    bench.warm_up()
    bench.settle()
    sent, began = time.time(), time.perf_counter()
    resume_hook(token, None)
    resumed = bench.result(run)
    ended = time.perf_counter() - began
    report = bench.report
    report.add("replay", "resume", resumed - sent, "s", rep, events=events)
    report.add("replay", "resume_end", ended, "s", rep, events=events)
    report.add("replay", "record", recorded, "s", rep, events=events)
