"""Settings of clusters on hosts whose clocks are wrong, by so many seconds as the
variable HOST_CLOCK_AHEAD has."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta

from django.utils import timezone

from tests.cluster.settings import *  # noqa: F403

_AHEAD = int(os.environ["HOST_CLOCK_AHEAD"])
_time, _time_ns, _now = time.time, time.time_ns, timezone.now


def _wrong_now() -> datetime:
    return _now() + timedelta(seconds=_AHEAD)


time.time = lambda: _time() + _AHEAD
time.time_ns = lambda: _time_ns() + _AHEAD * 1_000_000_000
timezone.now = _wrong_now
