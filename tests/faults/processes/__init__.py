"""Real worker processes that are killed, suspended and cut off from the database."""
