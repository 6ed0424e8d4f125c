"""System checks: what would stop or hurt workflows, each with the fix.

Importing this package registers them all, under the tag `workflows`.

| Ids | Module | About |
|---|---|---|
| E001-E004 | `definitions` | workflows, steps and definitions that cannot run |
| W001 | `sources` | calls in workflow code that would not replay |
| W003 | `definitions` | arguments over the API that nobody checks |
| W002, W043-W044 | `webhooks` | webhooks that anybody could send to |
| E010-E012, W010-W017 | `cluster` | `Q_CLUSTER` |
| E020-E026, W020 | `options` | `WORKFLOWS` |
| W030-W037 | `database` | the database that holds the runs |
| E027-E028, W040-W042 | `security` | who may do what, and what is kept secret |
"""

from __future__ import annotations

from django_workflows.checks import (
    cluster,
    database,
    definitions,
    options,
    security,
    sources,
    webhooks,
)

__all__ = [
    "cluster",
    "database",
    "definitions",
    "options",
    "security",
    "sources",
    "webhooks",
]
