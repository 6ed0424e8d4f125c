"""The ``WORKFLOWS`` setting.

    WORKFLOWS = {"LEASE": "30s", "THREADS": 16}

``conf.LEASE`` is read from Django's settings when it is first used, and again after
the setting has changed, so that ``override_settings`` works. Durations come as seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_workflows.core.durations import to_seconds

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        # Alias of the database that holds the runs.
        "DATABASE": "default",
        # A worker whose heartbeat stands still for so long is taken for dead.
        "LEASE": "15s",
        # How long a worker that has to stop lets its steps finish.
        "GRACE": "30s",
        # How long a worker with nothing to do waits for more before it yields.
        "LINGER": "1s",
        # How long a worker serves workflows before ordinary tasks get their turn.
        "SLICE": "30s",
        # Deaths of its process, while alone in it, after which a step fails.
        "MAX_STEP_CRASHES": 3,
        # Synchronous steps at once, per process.
        "THREADS": 8,
        # Asynchronous steps at once, per process.
        "ASYNC_STEPS": 200,
        # Workflow code that computes longer than this at a stretch is stopped.
        "BURST_TIMEOUT": "2s",
        # Refuse input, output, clocks and randomness in workflow code.
        "GUARD": True,
        # Where the site is reached from outside, for links and webhooks.
        "BASE_URL": "http://localhost:8000",
        # Dotted name of a class with encode(bytes) and decode(bytes).
        "PAYLOAD_CODEC": None,
        # Keys of FernetCodec, the newest first.
        "ENCRYPTION_KEYS": [],
        # Largest size of one stored value, before the codec.
        "MAX_PAYLOAD_BYTES": 2 * 1024 * 1024,
        # Let fetch() connect to hosts that are not on the public internet.
        "FETCH_ALLOW_PRIVATE": False,
        # How long a webhook's sender waits for the answer of a step, and how many bytes
        # it may send.
        "WEBHOOK_RESPONSE_TIMEOUT": "30s",
        "WEBHOOK_MAX_BODY": 1024 * 1024,
        # Dotted names of REST framework's classes: who may see and steer which runs,
        # in the API and over websockets. None: staff, and REST framework's own.
        "PERMISSION_CLASSES": None,
        "AUTHENTICATION_CLASSES": None,
        # Names of keys whose values nobody is shown, whatever their case.
        "REDACT": [],
        # Events of one run at which a warning is logged, and at which it fails.
        "HISTORY_WARNING": 10_000,
        "HISTORY_LIMIT": 50_000,
        # Suspended runs that a worker keeps in memory.
        "CACHED_RUNS": 1000,
        # Redis that carries wake-ups between processes; the data stay here.
        "REDIS_URL": None,
    }
)
_DURATIONS = frozenset(
    {
        "LEASE",
        "GRACE",
        "LINGER",
        "SLICE",
        "BURST_TIMEOUT",
        "WEBHOOK_RESPONSE_TIMEOUT",
    }
)


class Conf:
    """The current settings as attributes; an unknown name is an AttributeError."""

    if TYPE_CHECKING:
        DATABASE: str
        LEASE: float
        GRACE: float
        LINGER: float
        SLICE: float
        MAX_STEP_CRASHES: int
        THREADS: int
        ASYNC_STEPS: int
        BURST_TIMEOUT: float
        GUARD: bool
        BASE_URL: str
        PAYLOAD_CODEC: str | None
        ENCRYPTION_KEYS: list[str]
        MAX_PAYLOAD_BYTES: int
        FETCH_ALLOW_PRIVATE: bool
        WEBHOOK_RESPONSE_TIMEOUT: float
        WEBHOOK_MAX_BODY: int
        PERMISSION_CLASSES: list[Any] | None
        AUTHENTICATION_CLASSES: list[Any] | None
        REDACT: list[str]
        HISTORY_WARNING: int
        HISTORY_LIMIT: int
        CACHED_RUNS: int
        REDIS_URL: str | None
    else:

        def __getattr__(self, name: str) -> Any:
            if name not in DEFAULTS:
                raise AttributeError(f"there is no setting WORKFLOWS[{name!r}]")
            value = _given().get(name, DEFAULTS[name])
            if name in _DURATIONS:
                try:
                    value = to_seconds(value)
                except ValueError as error:
                    message = f"WORKFLOWS[{name!r}]: {error}"
                    raise ImproperlyConfigured(message) from error
            # Looked up thousands of times a second: kept until the setting changes.
            self.__dict__[name] = value
            return value

    def unknown_keys(self) -> list[str]:
        """Keys of the setting that mean nothing, sorted; for the system check."""
        return sorted(str(key) for key in _given() if key not in DEFAULTS)

    def forget(self, *, setting: str = "WORKFLOWS", **_: Any) -> None:
        """Read the setting anew; the receiver of Django's ``setting_changed``."""
        if setting == "WORKFLOWS":
            self.__dict__.clear()


def _given() -> dict[str, Any]:
    given = getattr(settings, "WORKFLOWS", None) or {}
    if not isinstance(given, dict):
        raise ImproperlyConfigured("the setting WORKFLOWS must be a dict")
    return given


conf = Conf()
setting_changed.connect(conf.forget)
