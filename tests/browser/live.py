"""The end of what browsers have asked a site for that runs in this process."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.error import HTTPError

from pytest_django.live_server_helper import LiveServer

from django_workflows.models import Run
from tests.cluster.harness import DEADLINE, until


@contextmanager
def all_requests_ended(live_server: LiveServer) -> Iterator[None]:
    """Wait at the end until all requests have been answered, or nobody waits for that.

    When they are answered later, the database is that of another test, or none.
    """
    before = set(threading.enumerate())
    yield
    # Whoever follows a run does not learn that nobody listens, but that it is gone.
    Run.objects.all().delete()
    # Connections are taken in order: those before this one have a thread by now.
    with suppress(HTTPError):
        urllib.request.urlopen(f"{live_server.url}/static/none", timeout=DEADLINE)

    def requests() -> list[threading.Thread]:
        return [
            thread
            for thread in set(threading.enumerate()) - before
            if "process_request_thread" in thread.name
        ]

    until(lambda: not requests(), "the end of all requests")
