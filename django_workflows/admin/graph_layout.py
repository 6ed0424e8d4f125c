"""Where the boxes and lines of a graph lie: pure, in pixels, from the top down.

Boxes stand in layers, each below all that it comes after. Lines that pass a layer have
a place of their own there, so that none runs through a box; those of one kind from one
box share it. Which box stands beside which follows from where its neighbours stand, so
that few lines cross.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from django_workflows.definitions.graph import in_order

MARGIN = 16
#: Between boxes side by side, and between layers.
GAP, LAYER_GAP = 28, 44
#: What a line needs that passes a layer.
BEND_WIDTH = 8
#: Boxes and passing lines in one picture; more of them nobody can follow.
MOST_PLACES = 4000
_SWEEPS = 8
#: A long line is bent rather less than a box is moved.
_WEIGHT_OF_BEND = 4.0

#: From which box to which, and a kind of line.
Edge = tuple[str, str, str]
Size = tuple[int, int]
#: A box by its key, or a line that passes a layer.
_Place = Hashable
_Order = list[list[_Place]]


class TooLargeError(Exception):
    """There is more in the graph than a picture can show."""


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
    order, links = _places(layers, edges)
    order = _with_few_crossings(order, links)
    return _draw(sizes, order, links)


def layers_of(keys: Iterable[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The layer of each box: one more than the deepest that it comes after."""
    before: dict[str, list[str]] = {key: [] for key in keys}
    for source, target, _ in edges:
        before[target].append(source)
    sequence = in_order(before)
    if len(sequence) < len(before):
        raise ValueError("these boxes are connected in a circle")
    layers: dict[str, int] = {}
    for key in sequence:
        layers[key] = 1 + max((layers[name] for name in before[key]), default=-1)
    return layers


# -- which places there are -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Link:
    """Two places in neighbouring layers that a line connects."""

    upper: _Place
    lower: _Place
    kind: str


@dataclass(frozen=True, slots=True)
class _Bend:
    """Where the lines of one kind from one box pass a layer."""

    source: str
    kind: str
    layer: int


def _places(
    layers: Mapping[str, int], edges: Sequence[Edge]
) -> tuple[_Order, list[_Link]]:
    """The places of each layer, in any order, and what connects them."""
    order: _Order = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for key, layer in layers.items():
        order[layer].append(key)
    count = len(layers)
    links: list[_Link] = []
    chains: dict[tuple[str, str], list[_Place]] = {}
    for source, target, kind in dict.fromkeys(edges):
        chain = chains.setdefault((source, kind), [source])
        length = layers[target] - layers[source]
        while len(chain) < length:
            bend = _Bend(source, kind, layers[source] + len(chain))
            links.append(_Link(chain[-1], bend, kind))
            order[bend.layer].append(bend)
            chain.append(bend)
            count += 1
            if count > MOST_PLACES:
                raise TooLargeError
        links.append(_Link(chain[length - 1], target, kind))
    return order, links


# -- who stands beside whom -----------------------------------------------------------


def _neighbours(
    links: Sequence[_Link],
) -> tuple[dict[_Place, list[_Place]], dict[_Place, list[_Place]]]:
    """By place: those above it, and those below it."""
    above: dict[_Place, list[_Place]] = {}
    below: dict[_Place, list[_Place]] = {}
    for link in links:
        above.setdefault(link.lower, []).append(link.upper)
        below.setdefault(link.upper, []).append(link.lower)
    return above, below


def _with_few_crossings(order: _Order, links: Sequence[_Link]) -> _Order:
    """Each place is moved to the middle of its neighbours, down and up, a few times;
    the best of it counts."""
    above, below = _neighbours(links)
    best, fewest = order, _crossings(order, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        goes_down = sweep % 2 == 0
        order = _swept(order, above if goes_down else below, goes_down)
        crossings = _crossings(order, below)
        if crossings < fewest:
            best, fewest = order, crossings
    return best


def _swept(
    order: _Order, neighbours: Mapping[_Place, list[_Place]], goes_down: bool
) -> _Order:
    swept = [list(layer) for layer in order]
    indexes = range(1, len(swept)) if goes_down else range(len(swept) - 2, -1, -1)
    for index in indexes:
        beside = swept[index - 1 if goes_down else index + 1]
        position = {place: number for number, place in enumerate(beside)}
        own = {place: number for number, place in enumerate(swept[index])}

        def middle(
            place: _Place,
            position: Mapping[_Place, int] = position,
            own: Mapping[_Place, int] = own,
        ) -> float:
            near = neighbours.get(place)
            return fmean(position[each] for each in near) if near else own[place]

        swept[index].sort(key=middle)
    return swept


def _crossings(order: _Order, below: Mapping[_Place, list[_Place]]) -> int:
    """How many pairs of lines cross: of all ends in the order of their beginnings,
    those that come before an earlier one. Counted in a Fenwick tree."""
    count = 0
    for upper, lower in pairwise(order):
        position = {place: number for number, place in enumerate(lower)}
        tree = [0] * (len(lower) + 1)
        seen = 0
        for place in upper:
            ends = sorted(position[each] for each in below.get(place, ()))
            for end in ends:
                index, not_after = end + 1, 0
                while index:
                    not_after += tree[index]
                    index -= index & -index
                count += seen - not_after
            for end in ends:
                index = end + 1
                while index < len(tree):
                    tree[index] += 1
                    index += index & -index
            seen += len(ends)
    return count


# -- where that is --------------------------------------------------------------------


def _draw(sizes: Mapping[str, Size], order: _Order, links: Sequence[_Link]) -> Layout:
    width_of = {
        place: sizes[place][0] if isinstance(place, str) else BEND_WIDTH
        for layer in order
        for place in layer
    }
    centers = _centers(order, links, width_of)
    boxes: dict[str, Box] = {}
    tops: dict[_Place, int] = {}
    ends: dict[_Place, int] = {}
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
    order: _Order, links: Sequence[_Link], width_of: Mapping[_Place, int]
) -> dict[_Place, int]:
    """The middle of each place, near the middles of its neighbours."""
    above, below = _neighbours(links)
    centers: dict[_Place, float] = {}
    for layer in order:
        _spread(layer, width_of, lambda _: 0.0, centers)
    for _ in range(_SWEEPS // 2):
        for layers, neighbours in ((order, above), (order[::-1], below)):
            for layer in layers:

                def wanted(
                    place: _Place,
                    neighbours: Mapping[_Place, list[_Place]] = neighbours,
                ) -> float:
                    near = neighbours.get(place)
                    if not near:
                        return centers[place]
                    return fmean(centers[each] for each in near)

                _spread(layer, width_of, wanted, centers)
    left = min((centers[place] - width_of[place] / 2 for place in centers), default=0)
    return {place: round(x - left) + MARGIN for place, x in centers.items()}


def _spread(
    layer: Sequence[_Place],
    width_of: Mapping[_Place, int],
    wanted: Callable[[_Place], float],
    centers: dict[_Place, float],
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
