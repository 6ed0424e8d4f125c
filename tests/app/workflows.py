"""Workflows that tests run in real worker processes; discovered at start-up."""

from __future__ import annotations
