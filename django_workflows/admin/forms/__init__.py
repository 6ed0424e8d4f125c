"""Forms for JSON values, made from JSON schemas."""
