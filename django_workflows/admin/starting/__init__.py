"""The pages on which people start workflows."""
