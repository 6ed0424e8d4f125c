"""Websocket routes, for the `websocket` part of the project's ASGI application."""

from __future__ import annotations

from typing import Any

from django.urls import path

from django_workflows.push.consumer import RunConsumer

# Channels routes ASGI applications as Django routes views.
_run_consumer: Any = RunConsumer.as_asgi()

websocket_urlpatterns: list[Any] = [
    path("ws/workflows/runs/<str:run_id>/", _run_consumer),
]
