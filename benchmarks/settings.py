"""Django settings of the benchmarks, for the caller and for the worker cluster.

What differs from run to run comes in by environment variables, because the
cluster is a process of its own: ``BENCHMARKS_DATABASE`` (a URL) and
``BENCHMARKS_PROCESSES`` here, ``BENCHMARKS_STEPS`` in `benchmarks.workflows`.
"""

from __future__ import annotations

import os

from benchmarks.databases import Database
from django_workflows import q_cluster

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
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
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
