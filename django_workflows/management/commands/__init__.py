"""Commands that Django finds by themselves."""
