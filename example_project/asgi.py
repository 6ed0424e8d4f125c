"""ASGI entry point: `daphne example_project.asgi:application`."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")

# Before anything that needs the models.
django_application = get_asgi_application()

from django_workflows.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        # Static files too, so that nothing else has to be set up to look around. A
        # production site leaves them to its web server.
        "http": ASGIStaticFilesHandler(django_application),
        "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
    }
)
