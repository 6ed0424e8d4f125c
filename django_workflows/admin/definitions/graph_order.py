"""The layers of a graph, and who stands beside whom, so that few lines cross."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from django_workflows.definitions.graph import in_order

#: Boxes and passing lines in one picture; more of them nobody can follow.
MOST_PLACES = 4000
_SWEEPS = 8

#: From which box to which, and a kind of line.
Edge = tuple[str, str, str]
#: A box by its key, or a line that passes a layer.
Place = Hashable
Order = list[list[Place]]


class TooLargeError(Exception):
    """There is more in the graph than a picture can show."""


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
class Link:
    """Two places in neighbouring layers that a line connects."""

    upper: Place
    lower: Place
    kind: str


@dataclass(frozen=True, slots=True)
class Bend:
    """Where the lines of one kind from one box pass a layer."""

    source: str
    kind: str
    layer: int


def places_of(
    layers: Mapping[str, int], edges: Sequence[Edge]
) -> tuple[Order, list[Link]]:
    """The places of each layer, in any order, and what connects them."""
    order: Order = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for key, layer in layers.items():
        order[layer].append(key)
    count = len(layers)
    links: list[Link] = []
    chains: dict[tuple[str, str], list[Place]] = {}
    for source, target, kind in dict.fromkeys(edges):
        chain = chains.setdefault((source, kind), [source])
        length = layers[target] - layers[source]
        while len(chain) < length:
            bend = Bend(source, kind, layers[source] + len(chain))
            links.append(Link(chain[-1], bend, kind))
            order[bend.layer].append(bend)
            chain.append(bend)
            count += 1
            if count > MOST_PLACES:
                raise TooLargeError
        links.append(Link(chain[length - 1], target, kind))
    return order, links


# -- who stands beside whom -----------------------------------------------------------


def neighbours_of(
    links: Sequence[Link],
) -> tuple[dict[Place, list[Place]], dict[Place, list[Place]]]:
    """By place: those above it, and those below it."""
    above: dict[Place, list[Place]] = {}
    below: dict[Place, list[Place]] = {}
    for link in links:
        above.setdefault(link.lower, []).append(link.upper)
        below.setdefault(link.upper, []).append(link.lower)
    return above, below


def with_few_crossings(order: Order, links: Sequence[Link]) -> Order:
    """Each place is moved to the middle of its neighbours, down and up, a few times;
    the best of it counts."""
    above, below = neighbours_of(links)
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
    order: Order, neighbours: Mapping[Place, list[Place]], goes_down: bool
) -> Order:
    swept = [list(layer) for layer in order]
    indexes = range(1, len(swept)) if goes_down else range(len(swept) - 2, -1, -1)
    for index in indexes:
        beside = swept[index - 1 if goes_down else index + 1]
        position = {place: number for number, place in enumerate(beside)}
        own = {place: number for number, place in enumerate(swept[index])}

        def middle(
            place: Place,
            position: Mapping[Place, int] = position,
            own: Mapping[Place, int] = own,
        ) -> float:
            near = neighbours.get(place)
            return fmean(position[each] for each in near) if near else own[place]

        swept[index].sort(key=middle)
    return swept


def _crossings(order: Order, below: Mapping[Place, list[Place]]) -> int:
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
