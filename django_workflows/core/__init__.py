"""The vocabulary of the engine: no models, no input or output."""
