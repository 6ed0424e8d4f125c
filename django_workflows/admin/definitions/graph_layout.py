"""Where the boxes and lines of a graph lie: pure, in pixels, from the top down.

Boxes stand in layers, each below all that it comes after. Lines that pass a layer have
a place of their own there, so that none runs through a box; those of one kind from one
box share it. Which box stands beside which follows from where its neighbours stand, so
that few lines cross.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from django_workflows.admin.definitions.graph_order import (
    Edge,
    Link,
    Order,
    Place,
    layers_of,
    neighbours_of,
    places_of,
    with_few_crossings,
)

MARGIN = 16
#: Between boxes side by side, and between layers.
GAP, LAYER_GAP = 28, 44
#: What a line needs that passes a layer.
BEND_WIDTH = 8
_SWEEPS = 8
#: A long line is bent rather less than a box is moved.
_WEIGHT_OF_BEND = 4.0

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, by its upper left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def center(self) -> int:
        return self.x + self.width // 2

    @property
    def bottom(self) -> int:
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of a line, from one layer to the next: straight down to the end of its
    layer, then over to where it enters the next one. `target` is the box that it
    reaches, or empty."""

    kind: str
    start: tuple[int, int]
    leaves_at: int
    end: tuple[int, int]
    target: str

    @property
    def path(self) -> str:
        """For the `d` of an SVG path."""
        (x, y), (to_x, to_y) = self.start, self.end
        middle = (self.leaves_at + to_y) // 2
        return f"M{x} {y}V{self.leaves_at}C{x} {middle} {to_x} {middle} {to_x} {to_y}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A whole picture."""

    width: int
    height: int
    boxes: dict[str, Box]
    lines: list[Line]


def lay_out(sizes: Mapping[str, Size], edges: Sequence[Edge]) -> Layout:
    """Place boxes of these sizes.

    Raises ValueError for edges that lead in a circle, and TooLargeError.
    """
    layers = layers_of(sizes, edges)
    order, links = places_of(layers, edges)
    order = with_few_crossings(order, links)
    return _draw(sizes, order, links)


def _draw(sizes: Mapping[str, Size], order: Order, links: Sequence[Link]) -> Layout:
    width_of = {
        place: sizes[place][0] if isinstance(place, str) else BEND_WIDTH
        for layer in order
        for place in layer
    }
    centers = _centers(order, links, width_of)
    boxes: dict[str, Box] = {}
    tops: dict[Place, int] = {}
    ends: dict[Place, int] = {}
    y = MARGIN
    for layer in order:
        height = max(sizes[place][1] for place in layer if isinstance(place, str))
        for place in layer:
            tops[place], ends[place] = y, y + height
            if isinstance(place, str):
                x = centers[place] - width_of[place] // 2
                boxes[place] = Box(x, y, *sizes[place])
        y += height + LAYER_GAP
    lines = []
    for link in links:
        upper = boxes.get(str(link.upper)) if isinstance(link.upper, str) else None
        starts_at = tops[link.upper] if upper is None else upper.bottom
        lines.append(
            Line(
                link.kind,
                (centers[link.upper], starts_at),
                ends[link.upper],
                (centers[link.lower], tops[link.lower]),
                link.lower if isinstance(link.lower, str) else "",
            )
        )
    right = (centers[place] + (width_of[place] + 1) // 2 for place in centers)
    width = max(right, default=0) + MARGIN
    height = max((box.bottom for box in boxes.values()), default=0) + MARGIN
    return Layout(width, height, boxes, lines)


def _centers(
    order: Order, links: Sequence[Link], width_of: Mapping[Place, int]
) -> dict[Place, int]:
    """The middle of each place, near the middles of its neighbours."""
    above, below = neighbours_of(links)
    centers: dict[Place, float] = {}
    for layer in order:
        _spread(layer, width_of, lambda _: 0.0, centers)
    for _ in range(_SWEEPS // 2):
        for layers, neighbours in ((order, above), (order[::-1], below)):
            for layer in layers:

                def wanted(
                    place: Place,
                    neighbours: Mapping[Place, list[Place]] = neighbours,
                ) -> float:
                    near = neighbours.get(place)
                    if not near:
                        return centers[place]
                    return fmean(centers[each] for each in near)

                _spread(layer, width_of, wanted, centers)
    left = min((centers[place] - width_of[place] / 2 for place in centers), default=0)
    return {place: round(x - left) + MARGIN for place, x in centers.items()}


def _spread(
    layer: Sequence[Place],
    width_of: Mapping[Place, int],
    wanted: Callable[[Place], float],
    centers: dict[Place, float],
) -> None:
    """Put each place as near to where it is wanted as its neighbours allow, and not
    beyond them: the least squares, by pooling those that push each other."""
    offsets: list[float] = []
    #: Places that touch: how many, their weight, and where the first would be.
    pools: list[tuple[int, float, float]] = []
    wishes = [wanted(place) for place in layer]
    for index, place in enumerate(layer):
        if index:
            earlier = layer[index - 1]
            apart = (width_of[earlier] + width_of[place]) / 2 + GAP
            offsets.append(offsets[-1] + apart)
        else:
            offsets.append(0.0)
        weight = 1.0 if isinstance(place, str) else _WEIGHT_OF_BEND
        pool = (1, weight, wishes[index] - offsets[index])
        while pools and pools[-1][2] > pool[2]:
            count, heavy, at = pools.pop()
            both = heavy + pool[1]
            at = (at * heavy + pool[2] * pool[1]) / both
            pool = (count + pool[0], both, at)
        pools.append(pool)
    starts = [at for count, _, at in pools for _ in range(count)]
    for place, start, offset in zip(layer, starts, offsets, strict=True):
        centers[place] = start + offset
