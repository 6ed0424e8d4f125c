"""Every transaction that changes a run. All SQL is here.

The rules that these transactions keep are in docs/architecture.md: one writer of the
log, everyone else only inserts, nobody waits for a lock in a round.
"""
