"""The German translation: complete, compiled, and used."""

from __future__ import annotations

import re
from gettext import GNUTranslations
from pathlib import Path

import django.contrib
import django_q
import pytest
import rest_framework
from django.conf import settings
from django.test import Client, override_settings
from django.urls import reverse

import django_workflows
from django_workflows import create_hook, start, start_child, step, workflow
from django_workflows.testing import WorkflowTester
from tests.translations.messages import Catalogue, messages

PACKAGE = Path(django_workflows.__file__).parent
FOLDER = PACKAGE / "locale" / "de" / "LC_MESSAGES"
#: The catalogues of other apps that a project may have, all of Django's among them.
OTHERS = [
    catalogue
    for folder in (django_q, rest_framework, django.contrib)
    for catalogue in sorted(
        Path(str(folder.__file__)).parent.glob("**/locale/de/LC_MESSAGES/django.mo")
    )
]
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


@pytest.mark.parametrize("other", OTHERS, ids=lambda path: path.parents[3].name)
def test_no_other_app_has_its_say_in_ours(german: Catalogue, other: Path) -> None:
    """Django takes a text from the first app that has it."""
    with other.open("rb") as file:
        theirs = GNUTranslations(file)
    differing = [
        message
        for message, (translation, *_) in german.texts.items()
        if message and theirs.gettext(message) not in (message, translation)
    ]
    assert differing == []


@workflow(name="tests.waits_in_german")
async def waits() -> None:
    """Waits for a worker."""


@step
def tidy() -> None:
    """Leaves nothing to do."""


@workflow(name="tests.asks_in_german")
async def asks() -> None:
    """Waits for a payload."""
    await create_hook()


@workflow(name="tests.tidies_in_german")
async def tidies() -> None:
    """Waits for another run."""
    await tidy()
    await start_child(asks)


@pytest.mark.django_db
def test_statuses_are_german_in_sentences_and_choices(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(tidies)
    workflows.run_until_idle()
    [child] = run.children.all()
    child.pause()
    workflows.run_until_idle()
    page = reverse("admin:django_workflows_run_change", args=[run.pk])
    fork = reverse("admin:django_workflows_run_fork", args=[run.pk])
    with override_settings(LANGUAGE_CODE="de"):
        said = admin_client.get(page).content.decode()
        choices = admin_client.get(fork).content.decode()
    assert "(angehalten)" in said
    assert f"{tidy.name} (abgeschlossen)" in choices
    # Django says "Nein, bitte abbrechen", which here is a thing to be done to runs.
    assert "Nein, zurück" in choices


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
