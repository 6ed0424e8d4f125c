"""The website of the benchmarks: the websockets, for everybody."""

from __future__ import annotations

import django
from channels.routing import ProtocolTypeRouter, URLRouter

django.setup()

from django_workflows.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter({"websocket": URLRouter(websocket_urlpatterns)})
