"""Settings of the test project; `DATABASE_URL` chooses the database."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from django_workflows.worker.q2.settings import q_cluster
from tests.databases import parse

_DEFAULT_DATABASE = Path(tempfile.gettempdir()) / f"django_workflows_{os.getuid()}.db"

DATABASES = {
    "default": parse(os.environ.get("DATABASE_URL") or f"sqlite:///{_DEFAULT_DATABASE}")
}

if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # No test lets the server itself crash: what it loses then is not worth waiting for
    # the disk at each of very many commits.
    DATABASES["default"]["OPTIONS"].setdefault("options", "-c synchronous_commit=off")
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    import pymysql

    pymysql.install_as_MySQLdb()

Q_CLUSTER = q_cluster(workers=2)

SECRET_KEY = "tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.urls"
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_q",
    "rest_framework",
    "channels",
    "django_workflows",
    "example_project.shop",
    "example_project.stories",
    "tests.app",
]

# Django 6.1 wants to be told how mail is sent.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
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

TEXT_MODEL = "example_project.stories.text_models.Storyteller"

STATIC_URL = "/static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
