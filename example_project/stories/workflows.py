"""How a story is written, so that whoever reads along sees every word once."""

from __future__ import annotations

from django_workflows import get_step_metadata, get_writable, step, workflow
from django_workflows.models import StreamChunk

from .prompts import prompt_for
from .text_models import text_model


@workflow
async def tell_story(product_id: int) -> str:
    """Write the story of a product into the run's stream; return it whole."""
    prompt = await ask_about(product_id)
    return await write_story(prompt)


@step
def ask_about(product_id: int) -> str:
    """Put together what the text model is asked.

    A step of its own: a later attempt at the story asks the same, whatever has been
    sold since.
    """
    return prompt_for(product_id)


@step
def write_story(prompt: str) -> str:
    """Write the answer into the run's stream, each word as it comes.

    An attempt goes on behind the words that the one before it has written: what is in
    the stream is what readers have seen, so nothing is repeated or left out. (That a
    word is stored is known only from the stream. Whether the model would choose the
    same words again does not matter.)
    """
    metadata = get_step_metadata()
    chunks = StreamChunk.objects.filter(stream__run=metadata.run_id)
    story = "".join(chunk.data for chunk in chunks.order_by("index"))
    with get_writable() as words:
        for word in text_model().stream(prompt, story):
            metadata.heartbeat()  # ends the attempt here once the run is cancelled
            words.write(word)
            story += word
    return story
