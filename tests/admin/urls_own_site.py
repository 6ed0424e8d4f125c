"""URLs of a project with an admin site of its own, and no other."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.urls import path

from django_workflows import admin, models

site = AdminSite(name="operations")
site.register(User)
site.register(models.Definition, admin.DefinitionAdmin)
site.register(models.Event, admin.EventAdmin)
site.register(models.Hook, admin.HookAdmin)
site.register(models.Run, admin.RunAdmin)
site.register(models.Schedule, admin.ScheduleAdmin)
site.register(models.Worker, admin.WorkerAdmin)

urlpatterns = [path("operations/", site.urls)]
