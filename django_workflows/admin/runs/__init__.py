"""The list of runs, and what people do to runs."""
