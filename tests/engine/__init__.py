"""Behaviour of the engine through its public API, on the testing kit."""
