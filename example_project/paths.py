"""Where things are."""

from __future__ import annotations

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent
MANAGE = BASE_DIR.parent / "manage.py"

#: The SQLite file and the demo's logs; not under version control.
VAR_DIR = BASE_DIR / "var"
