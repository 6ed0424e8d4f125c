"""Settings of the rehearsed project; PYTHONPATH says which state of its code it has."""

from __future__ import annotations

from django_workflows.worker.q2.settings import q_cluster
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "rehearsed"]
# A worker serves nothing but webhooks' addresses, and starts sooner without the rest.
ROOT_URLCONF = "django_workflows.urls"
Q_CLUSTER = q_cluster(workers=2, timeout=60, retry=90)
WORKFLOWS = {"LEASE": "60s", "GRACE": "1s", "BURST_TIMEOUT": "30s", "THREADS": 16}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
