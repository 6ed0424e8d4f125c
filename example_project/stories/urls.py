"""The pages of the stories."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "stories"
urlpatterns = [
    path("", views.index, name="index"),
    path("<str:run_id>/", views.story, name="story"),
]
