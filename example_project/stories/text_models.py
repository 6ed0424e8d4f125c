"""What writes the texts: the interface of a language model, and a stand-in for one."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Mapping
from typing import Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string


class TextModel(Protocol):
    """What writes text; a client of a real language model fits."""

    def stream(self, prompt: str, written: str = "") -> Iterator[str]:
        """Yield the answer to `prompt`, piece by piece.

        `written` is how the answer begins, if another attempt has begun it: the pieces
        go on behind it. To a chat API it is the beginning of the assistant's message.
        """
        ...


def text_model() -> TextModel:
    """Return a new model of the class that the setting `TEXT_MODEL` names."""
    return cast("TextModel", import_string(settings.TEXT_MODEL)())


class Storyteller:
    """Praises a product, word by word, from the facts in the prompt.

    The same prompt always gets the same answer.
    """

    #: Seconds from word to word: time enough to pull a plug.
    pace = 0.12

    def stream(self, prompt: str, written: str = "") -> Iterator[str]:
        text = compose(facts_in(prompt), random.Random(prompt))
        for word in re.findall(r"\S+\s*", text.removeprefix(written)):
            time.sleep(self.pace)
            yield word


def facts_in(prompt: str) -> dict[str, str]:
    """Return what the lines `name: value` of a prompt say."""
    return dict(re.findall(r"^([\w ]+): (.*)$", prompt, re.MULTILINE))


def compose(facts: Mapping[str, str], chance: random.Random) -> str:
    """Put the facts about a product into paragraphs."""
    ending = ENDING if facts["Stock"] != "0" else SOLD_OUT
    paragraphs = [
        " ".join(chance.choice(sentence) for sentence in paragraph)
        for paragraph in (*PARAGRAPHS, ending)
    ]
    return "\n\n".join(paragraphs).format_map(facts)


#: Sentences of paragraphs; of each one, what it can be.
PARAGRAPHS = (
    (
        (
            "Some things need no introduction, and {Product} is one of them.",
            "Ask in our warehouse what people take home: it is {Product}.",
            "There is a corner of our shelves that never stays full: {Product}.",
        ),
        (
            "It comes from {Supplier} in {Origin}, packed as {Unit}.",
            "{Supplier} in {Origin} pack it as they always have: {Unit}.",
        ),
    ),
    (
        (
            "You find it among our {Category} ({About}).",
            "It stands with the {Category}: {About}.",
        ),
        (
            "Of {Sold} sold in {Orders} orders, most went to {Favourite country}.",
            "{Sold} sold in {Orders} orders: {Favourite country} likes it most.",
        ),
        (
            "{Best customer} would not be without it, and they know why.",
            "Nobody has ordered more of it than {Best customer}.",
        ),
    ),
)
ENDING = (
    (
        "At {Price} it will not lie here for long: {Stock} are left.",
        "There are {Stock} left, at {Price}.",
    ),
    ("We would be quick.", "Shall we put one aside for you?"),
)
SOLD_OUT = (("Our shelves are empty now, but at {Price} it is worth the wait.",),)
