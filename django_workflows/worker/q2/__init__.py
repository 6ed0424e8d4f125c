"""The django-q2 integration: broker, hardened cluster and settings."""
