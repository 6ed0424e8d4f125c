"""A page that shows a text while a workflow writes it."""
