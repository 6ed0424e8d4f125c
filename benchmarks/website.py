"""A Daphne that serves `benchmarks.asgi`."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.bench import until


@contextmanager
def website() -> Iterator[tuple[str, psutil.Process]]:
    """Its address, ``ws://…``, and its process, until the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["-b", "127.0.0.1", "-p", str(port), "--access-log", "/dev/null"]
    process = subprocess.Popen(
        [sys.executable, "-m", "daphne", *options, "benchmarks.asgi:application"],
        # A session of its own: Ctrl-C reaches us alone, and we end it.
        start_new_session=True,
    )
    try:
        until("the website", lambda: _listens(process, port), interval=0.05, limit=30)
        yield f"ws://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the website ended with {process.returncode}")
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
