"""Streams: how many chunks, how soon they are seen, and what a long one costs."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import connections

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.machine import MemoryWatch
from benchmarks.workloads.load import PAUSE
from django_workflows import start, start_many
from django_workflows.models import Run

#: A short token, and the size of the chunks of the long stream.
TOKEN = "word "
CHUNK = 50_000
#: Seconds between the tokens whose way to the reader is measured.
PACE = 0.05


def streams(bench: Bench, rep: int) -> None:
    """One writer, many writers, tokens as of a language model, and a long stream."""
    _one_writer(bench, rep)
    _many_writers(bench, rep)
    _tokens(bench, rep)
    _long(bench, rep)


def _one_writer(bench: Bench, rep: int) -> None:
    count = bench.sizes.chunks
    bench.settle(PAUSE)
    began = time.perf_counter()
    read = _read(start(workflows.written, count, TOKEN))
    seconds = time.perf_counter() - began
    bench.report.add("streams", "chunks_per_s", read / seconds, "1/s", rep, n=read)


def _many_writers(bench: Bench, rep: int) -> None:
    writers = bench.sizes.writers
    count = bench.sizes.chunks // writers
    bench.settle(PAUSE)
    began = time.perf_counter()
    runs = start_many(workflows.written, [(count, TOKEN)] * writers)
    for run in runs:
        bench.result(run)
    seconds = time.perf_counter() - began
    bench.report.add(
        "streams",
        f"chunks_per_s_of_{writers}",
        writers * count / seconds,
        "1/s",
        rep,
        n=writers * count,
    )


def _tokens(bench: Bench, rep: int) -> None:
    """From the write to the reader, alone and beside others that do the same."""
    bench.settle(PAUSE)
    late = _lateness(start(workflows.written_slowly, bench.sizes.tokens, PACE))
    bench.report.latency("streams", late, rep, writers=1)
    writers = bench.sizes.writers
    arguments = [(bench.sizes.tokens, PACE)] * writers
    runs = start_many(workflows.written_slowly, arguments)
    with ThreadPoolExecutor(writers) as readers:
        late = [
            each for some in readers.map(_lateness_in_thread, runs) for each in some
        ]
    bench.report.latency("streams", late, rep, writers=writers)


def _lateness(run: Run) -> list[float]:
    return [time.time() - written for written in run.stream()]


def _lateness_in_thread(run: Run) -> list[float]:
    try:
        return _lateness(run)
    finally:
        connections.close_all()


def _long(bench: Bench, rep: int) -> None:
    megabytes = bench.sizes.megabytes
    bench.settle(PAUSE)
    began = time.perf_counter()
    with MemoryWatch(bench.fleet.pids) as worker, MemoryWatch([os.getpid()]) as caller:
        read = _read(
            start(workflows.written, megabytes * 1_000_000 // CHUNK, "x" * CHUNK)
        )
    seconds = time.perf_counter() - began
    report = bench.report
    report.add("streams", "mb_per_s", megabytes / seconds, "MB/s", rep, n=read)
    for name, memory in (("worker", worker), ("caller", caller)):
        grown = memory.rss - memory.before
        report.add("streams", f"{name}_grown", grown, "MiB", rep, mb=megabytes)


def _read(run: Run) -> int:
    return sum(1 for _ in run.stream())
