"""Runs attempts in processes of their own, one at a time in each.

For steps with ``isolation="process"``, and for those that were in flight when their
process died: whichever of them kills again, kills nobody else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.conf import settings as django_settings
from django.db import connections

from django_workflows.core import failures
from django_workflows.worker.attempt import Attempt, Ended, dump_options

MODULE = "django_workflows.worker.isolated"

#: Called when the code of an attempt is about to begin, and when it has ended.
Begun = Callable[[Attempt], None]
Report = Callable[[Ended], None]


class IsolatedProcess:
    """A child that runs one attempt after another, as it is told through a pipe."""

    def __init__(self) -> None:
        environment = dict(os.environ)
        # Under override_settings Django does not know the name.
        if django_settings.SETTINGS_MODULE:
            environment["DJANGO_SETTINGS_MODULE"] = django_settings.SETTINGS_MODULE
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        # The names in use, which are not those of the settings in a test run.
        environment["WORKFLOWS_DATABASES"] = json.dumps(
            {
                alias: str(connections[alias].settings_dict["NAME"])
                for alias in connections
            }
        )
        self._child = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        #: What it runs now; only under the lock is that so for sure.
        self._attempt: Attempt | None = None
        self._lock = threading.Lock()

    def run(
        self, attempt: Attempt, begun: Callable[[Attempt], None] = lambda attempt: None
    ) -> Ended | None:
        """Run an attempt. The child's death is the attempt's end as well.

        `begun` is called when its code is about to begin. Returns None if the child
        was dead before, so that the attempt has not begun.
        """
        assert self._child.stdout is not None
        self._attempt = attempt
        if not self._say(dump_attempt(attempt), attempt):
            self.close()
            return None
        pulse = attempt.pulse
        pulse.kill = partial(self._kill, attempt)
        pulse.tell = lambda why: self._say({"stop": why}, attempt)
        try:
            while (line := self._child.stdout.readline()).endswith(b"\n"):
                answer = json.loads(line)
                if "ended" in answer:
                    return load_ended(attempt, answer["ended"])
                if answer.get("begun"):
                    begun(attempt)
                else:
                    details = answer["details"]
                    pulse.hear(None if details is None else b64decode(details))
        finally:
            with self._lock:  # from here on it may be the turn of another attempt
                self._attempt = None
        self.close()
        return Ended(attempt, crashed=True)

    def _say(self, order: dict[str, Any], attempt: Attempt) -> bool:
        """Tell the child about its attempt. False if that is over, or it is dead."""
        assert self._child.stdin is not None
        with self._lock:
            if self._attempt is not attempt:
                return False
            try:
                self._child.stdin.write(json.dumps(order).encode() + b"\n")
                self._child.stdin.flush()
            except BrokenPipeError:
                return False
        return True

    def _kill(self, attempt: Attempt) -> None:
        with self._lock:
            if self._attempt is attempt:
                self._child.kill()

    @property
    def is_alive(self) -> bool:
        return self._child.poll() is None

    def kill(self) -> None:
        self._child.kill()

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()


class IsolatedProcesses:
    """A bounded number of such children, started when needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._idle: list[IsolatedProcess] = []
        self._busy: set[IsolatedProcess] = set()
        self._running = 0
        self._is_closed = False
        self._jobs: deque[tuple[Attempt, Begun, Report]] = deque()
        self._lock = threading.Lock()

    def submit(self, attempt: Attempt, begun: Begun, report: Report) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._jobs.append((attempt, begun, report))
            if self._running >= self._size:
                return
            self._running += 1
        threading.Thread(
            target=self._serve, name="workflows-isolated", daemon=True
        ).start()

    def _serve(self) -> None:
        child = None
        while True:
            with self._lock:
                if not self._jobs:
                    self._running -= 1
                    if child is None or not self._is_closed:
                        self._idle += [child] if child is not None else []
                        return
                    break
                attempt, begun, report = self._jobs.popleft()
                if child is None and self._idle:
                    child = self._idle.pop()
            ended: Ended | None = None
            if attempt.pulse.stopped:
                ended = Ended(attempt, is_void=True)
            while ended is None:
                try:
                    child = child or IsolatedProcess()
                    with self._at_work(child):
                        ended = child.run(attempt, begun)
                except Exception as error:
                    # No process could be had, or what it said made no sense.
                    ended = Ended(attempt, error=error)
                    if child is not None:
                        child.close()
                if child is not None and not child.is_alive:
                    child = None
            report(ended)
        child.close()

    @contextmanager
    def _at_work(self, child: IsolatedProcess) -> Iterator[None]:
        """A child that is at work is killed when all of them are closed."""
        with self._lock:
            self._busy.add(child)
            if self._is_closed:
                child.kill()
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(child)

    def close(self) -> None:
        """End all children, at work or not; nobody waits for what they did any more."""
        with self._lock:
            self._is_closed = True
            self._jobs.clear()
            idle, self._idle = self._idle, []
            for child in self._busy:
                child.kill()
        for child in idle:
            child.close()


_PLAIN = (
    "run_id",
    "step_id",
    "number",
    "worker_id",
    "queue",
    "priority",
    "run_queue",
    "created_us",
    "started_us",
    "errors",
    "crashes",
    "has_row",
)


def dump_attempt(attempt: Attempt) -> dict[str, Any]:
    """An attempt as JSON, for another process."""
    values = {name: getattr(attempt, name) for name in _PLAIN}
    workflow = dict(attempt.workflow)
    workflow["started_at"] = workflow["started_at"].isoformat()
    return values | {
        "step": attempt.step.name,
        "module": attempt.step.func.__module__,
        "options": dump_options(attempt.settings),
        "args": b64encode(attempt.args).decode(),
        "workflow": workflow,
        "heartbeat": None
        if attempt.heartbeat is None
        else b64encode(attempt.heartbeat).decode(),
    }


def dump_ended(ended: Ended) -> dict[str, Any]:
    return {
        "result": None if ended.result is None else b64encode(ended.result).decode(),
        "error": None
        if ended.error is None
        else b64encode(failures.capture(ended.error)).decode(),
        "is_recorded": ended.is_recorded,
        "is_void": ended.is_void,
        "seconds": ended.seconds,
    }


def load_ended(attempt: Attempt, values: dict[str, Any]) -> Ended:
    error = values["error"]
    result = values["result"]
    return Ended(
        attempt,
        result=None if result is None else b64decode(result),
        error=None if error is None else failures.rebuild(b64decode(error)),
        is_recorded=values["is_recorded"],
        is_void=values["is_void"],
        seconds=values["seconds"],
    )
