"""Settings of the example project.

`DATABASE_URL` in the environment chooses the database (see `databases.py`); without it
the project keeps an SQLite file under `var/`. For a production site at least
`SECRET_KEY`, `DEBUG` and `ALLOWED_HOSTS` have to change.
"""

from __future__ import annotations

import os

import django

from django_workflows import q_cluster
from example_project.databases import database_from_url, sqlite
from example_project.paths import VAR_DIR

VAR_DIR.mkdir(exist_ok=True)

SECRET_KEY = "an example project has nothing to hide"
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "daphne",  # makes `runserver` speak websockets; must come before staticfiles
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_q",
    "django_workflows",
    "example_project.shop",
    "example_project.stories",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
            ],
        },
    },
]

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
ASGI_APPLICATION = "example_project.asgi.application"

DATABASE_URL = os.environ.get("DATABASE_URL", "")
DATABASES = {
    "default": (
        database_from_url(DATABASE_URL)
        if DATABASE_URL
        else sqlite(VAR_DIR / "northwind.sqlite3")
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"

# The django-q2 cluster that runs the workflows, and the project's ordinary tasks.
Q_CLUSTER = q_cluster(name="default", workers=2)

WORKFLOWS = {
    "BASE_URL": "http://localhost:8000",
}

# Mails that the shop's processes send are written to standard output. Since 6.1 Django
# wants them named in this way, and refuses to be told in both.
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.console.EmailBackend"}}
else:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# What writes the stories: a class with the methods of `stories.text_models.TextModel`.
TEXT_MODEL = "example_project.stories.text_models.Storyteller"

# What the workers say goes to standard error, like django-q2's own lines.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "brief": {"format": "{asctime} {levelname} {message}", "style": "{"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "brief"}},
    "loggers": {"django_workflows": {"handlers": ["stderr"], "level": "INFO"}},
}
