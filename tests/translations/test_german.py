"""The German translation: complete, compiled, and used."""

from __future__ import annotations

import re
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client, override_settings
from django.urls import reverse

import django_workflows
from django_workflows import start, workflow
from tests.translations.messages import Catalogue, messages

PACKAGE = Path(django_workflows.__file__).parent
FOLDER = PACKAGE / "locale" / "de" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\(\w+\)[sdr]|%[sd]|\{\w*\}")


@pytest.fixture(scope="module")
def german() -> Catalogue:
    return Catalogue(FOLDER / "django.po")


def test_every_text_of_the_package_is_translated(german: Catalogue) -> None:
    known = {text for text in german.texts if text}
    marked = messages(PACKAGE)
    assert sorted(marked - known) == []
    # Texts that are gone would stay for ever.
    assert sorted(known - marked) == []
    assert [text for text in marked if not all(german.texts[text])] == []
    assert german.guessed == []


def test_what_is_filled_in_is_filled_in_everywhere(german: Catalogue) -> None:
    for message, translations in german.texts.items():
        if not message:
            continue
        forms = {message, german.plurals.get(message, message)}
        expected = {frozenset(PLACEHOLDER.findall(form)) for form in forms}
        for translation in translations:
            assert frozenset(PLACEHOLDER.findall(translation)) in expected, message


def test_the_compiled_catalogue_is_that_of_the_source(german: Catalogue) -> None:
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for message, translations in german.texts.items():
        if not message:
            continue
        if message in german.plurals:
            plural = german.plurals[message]
            found = [compiled.ngettext(message, plural, count) for count in (1, 2)]
        else:
            found = [compiled.gettext(message)]
        assert found == translations, "run manage.py compilemessages"


@workflow(name="tests.waits_in_german")
async def waits() -> None:
    """Waits for a worker."""


@pytest.mark.django_db
def test_pages_are_german_for_who_reads_german(admin_client: Client) -> None:
    run = start(waits)
    page = reverse("admin:django_workflows_run_change", args=[run.pk])
    middleware = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    with override_settings(MIDDLEWARE=middleware):
        german = admin_client.get(page, headers={"Accept-Language": "de"})
        english = admin_client.get(page, headers={"Accept-Language": "en"})
    assert (
        "Wartet auf einen Worker der Warteschlange default" in german.content.decode()
    )
    assert "Waiting for a worker of queue default" in english.content.decode()
