"""URLs of the example project."""

from __future__ import annotations

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="stories:index")),
    path("favicon.ico", RedirectView.as_view(url=static("stories/icon.svg"))),
    path("admin/", admin.site.urls),
    path("stories/", include("example_project.stories.urls")),
    path("workflows/api/", include("django_workflows.api.urls")),
    path("", include("django_workflows.urls")),
]
