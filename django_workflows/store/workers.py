"""Worker rows: who is there, and since when it has been silent."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from django_workflows.store.database import is_postgresql, now_sql, to_us


def process_identity(pid: int) -> str:
    """Tells a process from every other one that had or will have its pid.

    It names the boot, the pid namespace and the start of the process, so that it
    compares only with processes that this one can see. Empty where the system does not
    say, or if there is no such process.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()[:8]
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return ""
    if fields[0] in ("Z", "X"):  # dead, and not yet waited for
        return ""
    return f"{boot}:{namespace}:{fields[19]}"


def register(
    database: BaseDatabaseWrapper, worker_id: str, queues: Sequence[str], code: str
) -> None:
    """Enter this process as a worker; blocked runs are tried with code they don't know.

    The latter happens in the same transaction, for a new deploy is their way out.
    """
    now = now_sql(database)
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_workflows_worker (id, host, pid, process_started, "
            "queues, code, started_at, beat, heartbeat_at, runs, steps) "
            f"VALUES (%s, %s, %s, %s, %s, %s, {now}, 0, {now}, 0, 0)",
            (
                worker_id,
                socket.gethostname(),
                os.getpid(),
                process_identity(os.getpid()),
                ",".join(queues),
                code,
            ),
        )
        cursor.execute(
            f"UPDATE django_workflows_run SET wake_at = {now} WHERE owner = '' "
            "AND status IN ('pending', 'running') AND blocked_reason <> '' "
            "AND blocked_code <> %s AND wake_at IS NOT NULL",
            (code,),
        )


def beat(
    database: BaseDatabaseWrapper, worker_id: str, runs: int, steps: int
) -> int | None:
    """Give a sign of life. Returns the database's time in microseconds, or None if
    this worker has been declared dead meanwhile and must not touch a run any more."""
    now = now_sql(database)
    statement = (
        f"UPDATE django_workflows_worker SET beat = beat + 1, heartbeat_at = {now}, "
        "runs = %s, steps = %s WHERE id = %s AND stopped_at IS NULL"
    )
    with database.cursor() as cursor:
        if is_postgresql(database):
            cursor.execute(statement + f" RETURNING {now}", (runs, steps, worker_id))
            row = cursor.fetchone()
            return None if row is None else to_us(row[0])
        cursor.execute(statement, (runs, steps, worker_id))
        if cursor.rowcount != 1:
            return None
        cursor.execute(f"SELECT {now}", ())
        return to_us(cursor.fetchone()[0])


def unregister(database: BaseDatabaseWrapper, worker_id: str) -> None:
    """Sign off in good order."""
    with database.cursor() as cursor:
        cursor.execute(
            f"UPDATE django_workflows_worker SET stopped_at = {now_sql(database)}, "
            "runs = 0, steps = 0 WHERE id = %s AND stopped_at IS NULL",
            (worker_id,),
        )
