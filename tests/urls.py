"""URLs of the test project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("stories/", include("example_project.stories.urls")),
    path("workflows/api/", include("django_workflows.api.urls")),
    path("", include("django_workflows.urls")),
]
