"""What a step costs the database: statements, commits, WAL. PostgreSQL only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.output import progress
from benchmarks.wire import WireCounter
from benchmarks.workloads.load import together

#: Idle backends tell the server's statistics what they did within this time.
REPORTING_DELAY = 11.0
#: How long idle clusters are watched, in seconds.
IDLE = 10.0
#: How often one run is repeated, and how many runs with `LONG` steps follow.
RUNS, LONG_RUNS, LONG = 10, 5, 100

Counters = dict[str, float]


@dataclass(frozen=True)
class Window:
    """How much the counters grew in `seconds`, of which `idle` without any work."""

    grown: Counters
    seconds: float
    idle: float

    def rate(self) -> Counters:
        """Growth per second."""
        return {name: value / self.seconds for name, value in self.grown.items()}

    def net(self, idle_rate: Counters) -> Counters:
        """The growth without what was done while idle.

        What goes on in the background during the work counts as part of it.
        """
        return {
            name: value - idle_rate[name] * self.idle
            for name, value in self.grown.items()
        }


def sql(bench: Bench, rep: int) -> None:
    """Counters per step, for a lone run (``sql``) and many at once (``sql_200``).

    The server's counters are read first. The statements are counted by a relay on
    the wire, in a second pass because it slows the workers down a little.
    """
    if connection.vendor != "postgresql":
        progress("sql: only PostgreSQL counts what we need, skipped")
        return
    windows(bench, rep, server_counters)
    bench.fleet.stop()
    info = connection.connection.info
    with WireCounter(info.host, info.port) as wire:
        bench.fleet.start(bench.fleet.database.at(*wire.address))
        try:
            bench.warm_up()
            bench.settle(1.0)
            windows(bench, rep, wire.read)
        finally:
            bench.fleet.stop()
    bench.fleet.start()
    bench.warm_up()


def server_counters() -> Counters:
    """Transactions of this database, and the whole server's WAL fsyncs and bytes."""
    time.sleep(REPORTING_DELAY)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database"
            " WHERE datname = current_database()"
        )
        (commits,) = cursor.fetchone()
        cursor.execute("SELECT current_setting('server_version_num')::integer")
        (version,) = cursor.fetchone()
        # PostgreSQL 18 counts fsyncs of the WAL with the other I/O.
        if version >= 180000:
            cursor.execute(
                "SELECT (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'),"
                " wal_bytes FROM pg_stat_wal"
            )
        else:
            cursor.execute("SELECT wal_sync, wal_bytes FROM pg_stat_wal")
        syncs, written = cursor.fetchone()
    return {"commits": float(commits), "sync": float(syncs), "wal": float(written)}


def windows(bench: Bench, rep: int, read: Callable[[], Counters]) -> None:
    """Count while idle, over lone runs and over many at once, and report it.

    What idle clusters do while the counters settle is subtracted. A lone run's step
    is the difference between a long run and a short one, so that what a run costs
    once (start, claim, end, the caller's wait) is not in it.
    """
    many = bench.sizes.at_once

    def lone() -> None:
        for _ in range(RUNS):
            bench.run(workflows.seq10)

    def long() -> None:
        for _ in range(LONG_RUNS):
            bench.run(workflows.long, LONG)

    idle_rate = _window(read, lambda: time.sleep(IDLE)).rate()
    seq = _window(read, lone).net(idle_rate)
    lng = _window(read, long).net(idle_rate)
    at_once = _window(read, lambda: together(bench, workflows.seq10, many))
    burst = at_once.net(idle_rate)
    add = bench.report.add
    for name in seq:
        run, long_run = seq[name] / RUNS, lng[name] / LONG_RUNS
        unit = "B" if name == "wal" else "count"
        add("sql", f"{name}_seq10", run, unit, rep)
        add("sql", f"{name}_per_step", (long_run - run) / (LONG - 10), unit, rep)
        add("sql", f"idle_{name}_per_s", idle_rate[name], f"{unit}/s", rep)
        add(f"sql_{many}", f"{name}_per_step", burst[name] / (10 * many), unit, rep)


def _window(read: Callable[[], Counters], work: Callable[[], object]) -> Window:
    before = read()
    began = time.perf_counter()
    work()
    worked = time.perf_counter()
    after = read()
    return Window(
        {name: after[name] - before[name] for name in after},
        seconds=time.perf_counter() - began,
        idle=time.perf_counter() - worked,
    )
