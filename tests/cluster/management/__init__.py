"""Commands for the clusters under test."""
