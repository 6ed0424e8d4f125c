"""The worker side: reactor, executor and the django-q2 integration."""
