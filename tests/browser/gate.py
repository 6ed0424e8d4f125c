"""A gate before the writer: a test decides how far it writes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from example_project.stories.text_models import Storyteller

VARIABLE = "TEST_GATE"


class Gate:
    """Says in a file how many words may be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.open_for(0)

    def open_for(self, words: int) -> None:
        """Let the text grow to so many words."""
        # In one go: whoever reads sees the old number or the new one.
        fresh = self._path.with_suffix(".new")
        fresh.write_text(str(words))
        fresh.replace(self._path)


class GatedStoryteller(Storyteller):
    """Writes each word as soon as the gate allows it."""

    pace = 0.0

    def stream(self, prompt: str, written: str = "") -> Iterator[str]:
        gate = Path(os.environ[VARIABLE])
        words = super().stream(prompt, written)
        for number, word in enumerate(words, len(written.split()) + 1):
            while number > int(gate.read_text()):
                time.sleep(0.01)
            yield word
