"""Expressions of definitions."""
