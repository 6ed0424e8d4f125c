"""Definitions as pictures, and the same in words for those who do not see pictures."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workflows.admin.definitions.graph_layout import Box, Layout, lay_out
from django_workflows.admin.definitions.graph_order import Edge, TooLargeError
from django_workflows.admin.durations import in_words
from django_workflows.core.durations import to_seconds
from django_workflows.definitions.graph import branch_owners, predecessors
from django_workflows.definitions.schema import StepDefinition, WorkflowDefinition

BOX_WIDTH = 224
LINE_HEIGHT = 17
_PADDING = 8
#: Letters that fit into a box.
_LETTERS = 29

STATUSES: dict[str, str | Promise] = {
    "ahead": gettext_lazy("not yet"),
    "never": gettext_lazy("did not run"),
    "waiting": gettext_lazy("waiting"),
    "running": gettext_lazy("running"),
    "completed": gettext_lazy("completed"),
    "failed": gettext_lazy("failed"),
    "skipped": gettext_lazy("skipped"),
    "cancelled": gettext_lazy("cancelled"),
}


@dataclass(frozen=True, slots=True)
class State:
    """How a step of a run stands: one of `STATUSES`, and where more is told of it."""

    status: str
    attempts: int = 0
    url: str = ""


@dataclass(slots=True)
class Step:
    """A step, as a box and as an entry of a list."""

    id: str
    name: str
    #: What is said of it besides its name and how it stands.
    facts: list[str]
    after: list[str]
    state: State | None = None
    #: Where its box is; None in a list without a picture.
    box: Box | None = None
    #: The ids of the steps whose failures it answers.
    answers: list[str] = field(default_factory=list)

    @property
    def status_text(self) -> str:
        """How it stands, in words; empty if nothing is known of it."""
        if self.state is None:
            return ""
        text = str(STATUSES[self.state.status])
        if self.state.attempts > 1:
            return _("%(status)s, %(count)d attempts") % {
                "status": text,
                "count": self.state.attempts,
            }
        return text

    @property
    def texts(self) -> list[tuple[str, str, int]]:
        """Lines in the box: a class, what fits into it, and how far down it is."""
        lines = [("name", self.name), *(("fact", fact) for fact in self.facts)]
        if self.state is not None:
            lines.append(("state", self.status_text))
        first = _PADDING + LINE_HEIGHT - 4
        return [
            (kind, shortened(text), first + number * LINE_HEIGHT)
            for number, (kind, text) in enumerate(lines)
        ]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the box."""
        lines = 1 + len(self.facts) + (self.state is not None)
        return BOX_WIDTH, 2 * _PADDING + lines * LINE_HEIGHT


@dataclass(frozen=True, slots=True)
class Picture:
    """What `admin/django_workflows/graph.html` shows: the steps in their order, and
    unless there is too much of it, where boxes and lines lie."""

    title: str
    steps: list[Step]
    layout: Layout | None
    has_links: bool


def picture_of(
    definition: WorkflowDefinition, states: Mapping[str, State] | None = None
) -> Picture:
    """The picture of a definition that has no problems; with states, of an execution:
    one for each step and each action that is one."""
    before = predecessors(definition.steps)
    owners = branch_owners(definition.steps)
    defined = {step.id: step for step in definition.steps}
    steps = []
    for step_id, after in before.items():
        # An error branch that is no step of the definition is an action.
        step = defined.get(step_id) or StepDefinition(id=step_id, action=step_id)
        shown = Step(step_id, step.name, list(_facts(step)), after)
        shown.answers = owners.get(step_id, [])
        if states is not None:
            shown.state = states[step_id]
        steps.append(shown)
    layout = _layout(steps, _edges(steps))
    if layout is not None:
        for shown in steps:
            shown.box = layout.boxes[shown.id]
    has_links = any(step.state is not None and step.state.url for step in steps)
    return Picture(definition.name, steps, layout, has_links)


def shortened(text: str) -> str:
    """As much of a text as fits into a box; some letters are twice as wide."""
    text = " ".join(text.split())
    room = _LETTERS
    for index, letter in enumerate(text):
        room -= 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if room < 0:
            return f"{text[: index - 1]}…"
    return text


def _layout(steps: Sequence[Step], edges: Sequence[Edge]) -> Layout | None:
    try:
        return lay_out({step.id: step.size for step in steps}, edges)
    except TooLargeError:
        return None


def _edges(steps: Sequence[Step]) -> list[Edge]:
    return [
        (name, step.id, "error" if name in step.answers else "after")
        for step in steps
        for name in step.after
    ]


def _facts(step: StepDefinition) -> Iterator[str]:
    if step.action != step.name:
        yield step.action
    if step.condition is not None:
        yield _("if %(condition)s") % {"condition": step.condition}
    if step.wait is not None:
        yield _("waits %(length)s") % {"length": in_words(to_seconds(step.wait))}
    if step.timeout is not None:
        length = in_words(to_seconds(step.timeout))
        yield _("at most %(length)s") % {"length": length}
    if step.retries:
        yield _("up to %(count)d retries") % {"count": step.retries}
    if step.on_error == "continue":
        yield _("if it fails: goes on")
    elif step.on_error == "branch":
        yield _("if it fails: %(step)s") % {"step": step.error_branch}
