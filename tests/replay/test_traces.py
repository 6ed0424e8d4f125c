"""One program, one trace: in every run, under every hash seed, on every Python."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.replay.driver import Driver, close_all, trace_of
from tests.replay.programs import drive_randomly
from tests.replay.trace import PROGRAMS, Log, record, replay

ROOT = Path(__file__).parents[2]


def _python(
    executable: str, *arguments: str, stdin: str = "", hash_seed: str = "0"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [executable, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
    )


def _recorded(executable: str, hash_seed: str = "0") -> dict[str, Log]:
    done = _python(
        executable, "-m", "tests.replay.trace", "record", hash_seed=hash_seed
    )
    assert done.returncode == 0, done.stderr
    logs: dict[str, Log] = json.loads(done.stdout)
    return logs


@functools.cache
def _other_python(version: str) -> str:
    """An interpreter of this version that has Django and pydantic, else skip."""
    candidates = [
        os.environ.get(f"PYTHON{version.replace('.', '')}"),
        shutil.which(f"python{version}"),
    ]
    for executable in filter(None, candidates):
        if _python(executable, "-c", "import django, pydantic").returncode == 0:
            return executable
    pytest.skip(f"no Python {version} with Django and pydantic")


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_trace_over_60_runs(name: str) -> None:
    """Objects lie at other addresses each time, and numbers start from 0 per run."""
    traces = set()
    runs: list[Driver] = []  # kept alive, so that no address is used again
    for _ in range(60):
        runs.append(drive_randomly(PROGRAMS[name], 7))
        traces.add(json.dumps(trace_of(runs[-1].log)))
    close_all()
    assert len(traces) == 1


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", "2", "42"])
def test_one_trace_under_every_hash_seed(hash_seed: str) -> None:
    assert _recorded(sys.executable, hash_seed) == _recorded(sys.executable)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_one_trace_on_other_pythons(version: str) -> None:
    here, there = record(), _recorded(_other_python(version))
    for name in PROGRAMS:
        assert _told(there[name]) == _told(here[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_logs_replay_on_other_pythons(version: str) -> None:
    """Up and down: an upgrade in the middle of a run, and its rollback."""
    other = _other_python(version)
    done = _python(
        other, "-m", "tests.replay.trace", "replay", stdin=json.dumps(record())
    )
    assert done.returncode == 0, done.stderr
    replay(_recorded(other))


def _told(log: Log) -> list[list[object]]:
    """All of a log but the end's payload: tracebacks differ between versions."""
    return [[kind, id_, time] for kind, id_, time, _detail, _payload in log]
