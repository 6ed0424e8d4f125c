"""How exactly limits are kept, and how well they are used."""

from __future__ import annotations

import statistics
from bisect import bisect_left

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.workloads.load import PAUSE
from django_workflows import start_many
from django_workflows.models import Step

#: Starts in a second by the rate limit of `paced`.
RATE = 100
#: Seconds before and after those that count.
EDGE = 1
#: Steps of `narrow` that may be at work at once, and for how many seconds each is.
PLACES, WORK = 5, 0.01


def limits(bench: Bench, rep: int) -> None:
    """A rate limit over some seconds, then a limit of how many are at work at once."""
    _paced(bench, rep)
    _narrow(bench, rep)


def _paced(bench: Bench, rep: int) -> None:
    seconds = bench.sizes.paced_seconds
    bench.settle(PAUSE)
    runs = start_many(workflows.paced, [()] * (RATE * (seconds + 2 * EDGE)))
    times = sorted(bench.result(run) for run in runs)
    first = times[0] + EDGE
    each = [
        bisect_left(times, first + n + 1) - bisect_left(times, first + n)
        for n in range(seconds)
    ]
    bench.report.add(
        "limits",
        "paced_per_s",
        statistics.mean(each),
        "1/s",
        rep,
        lo=min(each),
        hi=max(each),
        seconds=seconds,
    )
    steps = Step.objects.filter(run_id__in=[run.pk for run in runs])
    starts = sorted(
        started.timestamp()
        for started in steps.values_list("started_at", flat=True)
        if started is not None
    )
    most = max(
        bisect_left(starts, began + 1 - 1e-6) - n for n, began in enumerate(starts)
    )
    bench.report.add("limits", "paced_most_in_a_second", most, "", rep)


def _narrow(bench: Bench, rep: int) -> None:
    bench.settle(PAUSE)
    runs = start_many(workflows.narrow, [(WORK,)] * bench.sizes.narrow)
    spans = [bench.result(run) for run in runs]
    total = max(ended for _, ended in spans) - min(began for began, _ in spans)
    marks = sorted(mark for began, ended in spans for mark in ((began, 1), (ended, -1)))
    at_work = most = 0
    for _, change in marks:
        at_work += change
        most = max(most, at_work)
    used = sum(ended - began for began, ended in spans) / (PLACES * total)
    report = bench.report
    report.add("limits", "narrow_total", total, "s", rep, runs=len(runs))
    report.add("limits", "narrow_most_at_once", most, "", rep)
    report.add("limits", "narrow_use", used, "", rep)
