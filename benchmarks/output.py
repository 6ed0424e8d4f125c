"""Measurements as JSON lines, progress as text on stderr."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO


def progress(text: str) -> None:
    """Tell the person who waits how far we are."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


class Report:
    """Writes one JSON object per measurement.

    ``extra`` are columns that every line of this report gets, such as the kind
    of steps. ``load1`` is the machine's load average at that moment: figures
    taken on a busy machine show it.
    """

    def __init__(self, peer: str, stream: TextIO, **extra: Any) -> None:
        self.peer = peer
        self._stream = stream
        self._extra = extra

    def add(
        self,
        workload: str,
        metric: str,
        value: float,
        unit: str,
        rep: int,
        **extra: Any,
    ) -> None:
        """Write one measurement."""
        row = {
            "peer": self.peer,
            "workload": workload,
            "metric": metric,
            "value": round(value, 4),
            "unit": unit,
            "rep": rep,
            "load1": round(os.getloadavg()[0], 2),
            **self._extra,
            **extra,
        }
        print(json.dumps(row), file=self._stream, flush=True)

    def latency(
        self, workload: str, seconds: Sequence[float], rep: int, **extra: Any
    ) -> None:
        """Write the median of some latencies in ms, with the extremes beside it."""
        self.add(
            workload,
            "latency_median",
            statistics.median(seconds) * 1e3,
            "ms",
            rep,
            lo=round(min(seconds) * 1e3, 2),
            hi=round(max(seconds) * 1e3, 2),
            n=len(seconds),
            **extra,
        )
