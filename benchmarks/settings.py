"""Django settings of the benchmarks, for the caller and for the worker cluster.

What differs from run to run comes in by environment variables, because the
cluster is a process of its own: ``BENCHMARKS_DATABASE`` (a URL) and
``BENCHMARKS_PROCESSES`` here, ``BENCHMARKS_STEPS`` in `benchmarks.workflows`.
"""

from __future__ import annotations

import os

from benchmarks.databases import Database
from django_workflows import q_cluster

# Pages are made as the example project makes them.
from example_project.settings import MIDDLEWARE as MIDDLEWARE
from example_project.settings import TEMPLATES as TEMPLATES

SECRET_KEY = "benchmarks only"
ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_q",
    "django_workflows",
    "benchmarks",
]
ROOT_URLCONF = "benchmarks.urls"
STATIC_URL = "static/"
DATABASES = {"default": Database(os.environ["BENCHMARKS_DATABASE"]).settings()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Whoever asks may follow a run, so that the way to it is what is measured.
WORKFLOWS = {
    "PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "AUTHENTICATION_CLASSES": [],
}
Q_CLUSTER = q_cluster(workers=int(os.environ.get("BENCHMARKS_PROCESSES", "2")))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
