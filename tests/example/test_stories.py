"""The stories: their pages, their texts, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from django_workflows import workflow
from django_workflows.models import Run, StreamChunk
from django_workflows.testing import WorkflowTester
from example_project.shop.models import Product
from example_project.stories.prompts import prompt_for
from example_project.stories.text_models import Storyteller, TextModel, text_model
from example_project.stories.workflows import tell_story
from tests.docs.pages import ROOT, examples
from tests.example.conftest import MakeOrder, MakeProduct


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storyteller, "pace", 0.0)


@pytest.fixture
def product(make_product: MakeProduct, make_order: MakeOrder) -> Product:
    product = make_product(7)
    make_order((product, 3))
    make_order((product, 4))
    return product


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_user("ann", is_staff=True))
    return client


# --- the text -------------------------------------------------------------------------


def test_story_tells_the_facts(product: Product) -> None:
    story = "".join(Storyteller().stream(prompt_for(product.pk)))
    for fact in ("Chai", "Exotic Liquids", "Beverages", "$18.00", "2 orders"):
        assert fact in story


def test_story_of_what_nobody_has_bought(make_product: MakeProduct) -> None:
    prompt = prompt_for(make_product(0).pk)
    assert "Best customer: nobody yet" in prompt
    assert "Our shelves are empty" in "".join(Storyteller().stream(prompt))


def test_story_goes_on_behind_what_is_written(product: Product) -> None:
    model: TextModel = text_model()
    prompt = prompt_for(product.pk)
    words = list(model.stream(prompt))
    for written in (0, 1, len(words) - 1, len(words)):
        assert list(model.stream(prompt, "".join(words[:written]))) == words[written:]


def test_model_of_the_readme_speaks_to_a_chat_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        deltas = [{"role": "assistant"}, {"content": "Once "}, {"content": "upon"}]
        lines = [
            "data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]})
            for delta in deltas
        ]
        return httpx.Response(200, text="\n\n".join([": hi", *lines, "data: [DONE]\n"]))

    for name in ("CHAT_URL", "CHAT_KEY", "CHAT_MODEL"):
        monkeypatch.setenv(name, "http://chat.test")
    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(httpx, "stream", client.stream)
    namespace: dict[str, Any] = {}
    [example] = examples(ROOT / "example_project" / "README.md")
    exec(example.source, namespace)
    model: TextModel = namespace["ChatModel"]()
    assert "".join(model.stream("Tell", "So: ")) == "Once upon"
    roles = [message["role"] for message in json.loads(asked[0].content)["messages"]]
    assert roles == ["user", "assistant"]


# --- the workflow ---------------------------------------------------------------------


def test_stream_holds_the_story(product: Product, workflows: WorkflowTester) -> None:
    run = workflows.start(tell_story, product.pk)
    workflows.run_until_idle()
    words = list(run.stream())
    assert len(words) > 20
    assert "".join(words) == run.result()


class Unreliable(Storyteller):
    """Loses its connection after every ten words."""

    def stream(self, prompt: str, written: str = "") -> Iterator[str]:
        for number, word in enumerate(super().stream(prompt, written)):
            if number == 10 and len(written.split()) < 30:
                raise ConnectionResetError("the model hung up")
            yield word


def test_later_attempts_repeat_nothing(
    product: Product, workflows: WorkflowTester, settings: object
) -> None:
    settings.TEXT_MODEL = f"{__name__}.Unreliable"  # type: ignore[attr-defined]
    story = workflows.run(tell_story, product.pk)
    assert story == "".join(Storyteller().stream(prompt_for(product.pk)))
    chunks = StreamChunk.objects.order_by("index")
    assert "".join(chunk.data for chunk in chunks) == story
    assert {chunk.attempt for chunk in chunks} == {1, 2, 3, 4}


# --- the pages ------------------------------------------------------------------------


def test_pages_are_for_staff(client: Client, product: Product) -> None:
    client.force_login(User.objects.create_user("bob"))
    run = tell_story.start(product.pk)
    for address in (reverse("stories:index"), reverse("stories:story", args=[run.pk])):
        response = client.get(address)
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/admin/login/")


def test_story_is_begun_and_shown(staff: Client, product: Product) -> None:
    index = reverse("stories:index")
    assert "Chai</option>" in staff.get(index).content.decode()
    response = staff.post(index, {"product": product.pk})
    run = Run.objects.get()
    assert response.headers["Location"] == reverse("stories:story", args=[run.pk])
    page = staff.get(response.headers["Location"])
    assert f'<workflow-stream run="{run.pk}"' in page.content.decode()
    assert page.content.decode().count("django_workflows/workflows.js") == 1
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert run.pk in staff.get(index).content.decode()


def test_nonsense_is_not_begun(staff: Client, product: Product) -> None:
    response = staff.post(reverse("stories:index"), {"product": "-1"})
    assert "Select a valid choice" in response.content.decode()
    assert not Run.objects.exists()


@workflow
async def other() -> None:
    pass


def test_other_runs_are_no_stories(staff: Client) -> None:
    run = other.start()
    for name in (run.pk, "wrun_unknown"):
        response = staff.get(reverse("stories:story", args=[name]))
        assert response.status_code == 404


def test_shop_without_products_says_how_to_fill_it(staff: Client) -> None:
    assert "load_northwind" in staff.get(reverse("stories:index")).content.decode()
