"""Who may see and steer which runs: one answer for the API, streams and websockets.

It is given by `WORKFLOWS["PERMISSION_CLASSES"]` and `["AUTHENTICATION_CLASSES"]`: REST
framework's classes, or dotted names of them. What a permission class is asked about is
always a `Run`: also where a step, a hook or a stream of that run is wanted. A class may
define `filter_queryset(request, queryset)`, which narrows a queryset of runs to those
that the request may see.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import Http404
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission, IsAdminUser
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from django_workflows.conf import conf
from django_workflows.core.ids import is_possible_id
from django_workflows.models import Run
from django_workflows.models.run import RunQuerySet
from django_workflows.store.database import alias


def authenticators() -> list[BaseAuthentication]:
    """What finds out who a request comes from.

    Raises ImproperlyConfigured for a class that cannot be imported.
    """
    named = conf.AUTHENTICATION_CLASSES
    if named is None:
        named = list(api_settings.DEFAULT_AUTHENTICATION_CLASSES)
    return _made("AUTHENTICATION_CLASSES", named)


def permissions() -> list[BasePermission]:
    """What decides; all have to agree. Staff only, unless the setting names classes.

    Raises ImproperlyConfigured for a class that cannot be imported, and for one whose
    `filter_queryset` would be lost.
    """
    named = conf.PERMISSION_CLASSES
    made = _made("PERMISSION_CLASSES", [IsAdminUser] if named is None else named)
    for permission in made:
        _refuse_lost_filters(permission)
    return made


def visible_runs(request: Request) -> RunQuerySet:
    """The runs that lists show to a request."""
    runs = Run.objects.using(alias())
    for permission in permissions():
        narrow = getattr(permission, "filter_queryset", None)
        if narrow is not None:
            runs = narrow(request, runs)
    return runs


def may_see(request: Request, view: APIView, run: Run) -> bool:
    """Whether every permission class lets the request have this run."""
    return all(
        permission.has_object_permission(request, view, run)
        for permission in permissions()
    )


def only_visible(request: Request, view: APIView, runs: Iterable[Run]) -> list[Run]:
    """Those of some `visible_runs` that the request may have.

    A class that narrows querysets has said so already. The others are asked about each
    run, so that a list shows nothing that cannot be opened.
    """
    asked = [
        permission
        for permission in permissions()
        if not hasattr(permission, "filter_queryset")
    ]
    return [
        run
        for run in runs
        if all(
            permission.has_object_permission(request, view, run) for permission in asked
        )
    ]


def check_run(request: Request, view: APIView, run: Run) -> None:
    """Raise Http404 unless the request may have this run: who may not see a run is not
    told that there is one."""
    if not (
        may_see(request, view, run) and visible_runs(request).filter(pk=run.pk).exists()
    ):
        raise not_found()


def find_run(request: Request, view: APIView, run_id: str) -> Run:
    """The run with this id, if the request may have it; raises Http404 otherwise."""
    run = None
    if is_possible_id(run_id):
        run = visible_runs(request).filter(pk=run_id).first()
    if run is None or not may_see(request, view, run):
        raise not_found()
    return run


def not_found() -> Http404:
    """The answer for a run that is not there, and for one that is none of yours."""
    return Http404("there is no such run")


def _refuse_lost_filters(permission: Any) -> None:
    """What REST framework joins by `&` and `|` keeps the permissions alone."""
    for part in ("op1", "op2"):
        joined = getattr(permission, part, None)
        if hasattr(joined, "filter_queryset"):
            raise ImproperlyConfigured(
                "WORKFLOWS['PERMISSION_CLASSES']: the filter_queryset() of "
                f"{type(joined).__name__} is lost where it is joined with another "
                "class by & or |; name both in the list, or write one class"
            )
        if joined is not None:
            _refuse_lost_filters(joined)


def _made(setting: str, named: Iterable[Any]) -> list[Any]:
    load = partial(_loaded, setting)
    return [make() for make in map(load, named)]


def _loaded(setting: str, named: Any) -> Any:
    if not isinstance(named, str):
        return named
    try:
        return import_string(named)
    except ImportError as error:
        raise ImproperlyConfigured(f"WORKFLOWS[{setting!r}]: {error}") from error
