"""What derives from a run's secret seed: tokens, chance, the ids of its children."""

from __future__ import annotations

import hashlib
import hmac

#: Bytes of a seed. That of a fork holds several: the original's, and then its own.
SEED_BYTES = 32


def derive(seed: bytes, *purpose: str) -> bytes:
    """A secret for one purpose, by which nobody learns the seed."""
    return hmac.digest(seed, "\n".join(purpose).encode(), hashlib.sha256)


def hook_token(seed: bytes, hook_id: str) -> str:
    """The token of a hook that was given none: nobody can guess it."""
    return derive(seed, "hook", hook_id).hex()[:40]


def seed_of(seeds: bytes, passed: int) -> bytes:
    """The seed of a run that has `passed` so many edges between what it has copied."""
    if len(seeds) <= SEED_BYTES:
        return seeds
    return seeds[SEED_BYTES * passed : SEED_BYTES * (passed + 1)]
