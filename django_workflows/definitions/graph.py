"""Which steps come before which, and whether there is a way through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from django_workflows.definitions.schema import StepDefinition

#: Cycles that are shown.
_MOST_CYCLES = 20


def branch_owners(steps: Sequence[StepDefinition]) -> dict[str, list[str]]:
    """By the id of a step that runs instead after failures: whose failures."""
    owners: dict[str, list[str]] = {}
    for step in steps:
        if step.on_error == "branch" and step.error_branch:
            owners.setdefault(step.error_branch, []).append(step.id)
    return owners


def predecessors(steps: Sequence[StepDefinition]) -> dict[str, list[str]]:
    """By step: the steps that are settled before it is, in the order given.

    A step that only an `error_branch` names, and is an action, is among them.
    """
    owners = branch_owners(steps)
    own: dict[str, list[str]] = {}
    for step in steps:
        # An id that is there twice is wrong, and hides nothing else that is.
        own[step.id] = [*own.get(step.id, []), *step.depends_on]
    ids = [*own, *(name for name in owners if name not in own)]
    known = set(ids)
    return {
        key: [
            name
            for name in dict.fromkeys([*own.get(key, []), *owners.get(key, [])])
            if name in known
        ]
        for key in ids
    }


def in_order(before: Mapping[str, Sequence[str]]) -> list[str]:
    """The steps so that each follows those before it; those of cycles, and what waits
    for them, are missing."""
    left = {key: len(names) for key, names in before.items()}
    after: dict[str, list[str]] = {key: [] for key in before}
    for key, names in before.items():
        for name in names:
            after[name].append(key)
    order = [key for key, count in left.items() if not count]
    for key in order:
        for follower in after[key]:
            left[follower] -= 1
            if not left[follower]:
                order.append(follower)
    return order


def cycles(before: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Paths that come back to where they began: `["a", "b", "a"]`."""
    found: list[list[str]] = []
    seen: set[str] = set()
    for start in before:
        if start not in seen:
            _walk(start, before, seen, found)
    return found


def _walk(
    start: str,
    before: Mapping[str, Sequence[str]],
    seen: set[str],
    found: list[list[str]],
) -> None:
    path: dict[str, Iterator[str]] = {start: iter(before[start])}
    seen.add(start)
    while path and len(found) < _MOST_CYCLES:
        key = next(reversed(path))
        following = next(path[key], None)
        if following is None:
            del path[key]
        elif following in path:
            names = list(path)
            # As work would flow: from what is depended on to what depends on it.
            others = names[names.index(following) + 1 :][::-1]
            found.append([following, *others, following])
        elif following not in seen:
            seen.add(following)
            path[following] = iter(before[following])


def ancestors(before: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """By step: all that are settled before it."""
    found: dict[str, set[str]] = {}
    for key in in_order(before):
        names: set[str] = set(before[key])
        for name in before[key]:
            names |= found[name]
        found[key] = names
    return found
