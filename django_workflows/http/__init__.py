"""Calling other services over HTTP: the ready-made step ``fetch``."""
