"""Checks of `Q_CLUSTER`: whether a django-q2 cluster runs workflows, and well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from django_workflows.checks.options import wrong_options
from django_workflows.conf import conf

_BROKER = "django_workflows.broker.WorkflowBroker"
_READY = "Use Q_CLUSTER = django_workflows.q_cluster(...), or set "


@checks.register("workflows")
def check_cluster(**kwargs: Any) -> list[checks.CheckMessage]:
    """A cluster with these settings runs workflows, and nothing slows it down."""
    cluster = getattr(settings, "Q_CLUSTER", None)
    if not isinstance(cluster, Mapping):
        return [
            checks.Error(
                "There is no Q_CLUSTER setting: no worker can run workflows.",
                hint="Add Q_CLUSTER = django_workflows.q_cluster().",
                id="django_workflows.E010",
            )
        ]
    messages = [*_broker(cluster), *_times(cluster), *_harm(cluster)]
    if not wrong_options():
        messages += [*_room_for_work(cluster), *_same_database(cluster)]
    return messages


def _broker(cluster: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    path = cluster.get("broker_class")
    if path == _BROKER:
        return
    if not path:
        problem = "Q_CLUSTER has no broker_class: django-q2 would never run a workflow."
    else:
        try:
            if issubclass(import_string(path), import_string(_BROKER)):
                return
        except (ImportError, TypeError) as error:
            problem = f"Q_CLUSTER['broker_class'] = {path!r} is no broker: {error}."
        else:
            problem = (
                f"Q_CLUSTER['broker_class'] = {path!r} does not know workflows: "
                "they would never run."
            )
    yield checks.Error(
        problem,
        hint=f"{_READY}'broker_class': '{_BROKER}' (or a subclass of it).",
        id="django_workflows.E011",
    )


def _times(cluster: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    timeout, retry = cluster.get("timeout"), cluster.get("retry", 60)
    wrong = [
        key
        for key, value in (("timeout", timeout), ("retry", retry))
        if value is not None and not isinstance(value, int | float)
    ]
    for key in wrong:
        yield checks.Error(
            f"Q_CLUSTER[{key!r}] = {cluster[key]!r} is no number of seconds.",
            hint=f"{_READY}a number.",
            id="django_workflows.E012",
        )
    if wrong or timeout is None or retry is None:
        return
    if retry <= timeout:
        yield checks.Error(
            f"Q_CLUSTER: retry ({retry} s) is not greater than timeout ({timeout} s): "
            "ordinary tasks are delivered again while they still run.",
            hint=f"{_READY}'retry' to more than {timeout}.",
            id="django_workflows.E012",
        )


def _room_for_work(cluster: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    timeout, needed = cluster.get("timeout"), conf.SLICE + conf.GRACE
    if isinstance(timeout, int | float) and timeout <= needed:
        yield checks.Warning(
            f"Q_CLUSTER: timeout ({timeout} s) may kill worker processes in the "
            "middle of their work.",
            hint=f"{_READY}'timeout' to more than {needed:g}, the sum of "
            "WORKFLOWS['SLICE'] and WORKFLOWS['GRACE'].",
            id="django_workflows.W016",
        )


def _same_database(cluster: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    alias = cluster.get("orm") or "default"
    if not cluster.get("redis") and alias != conf.DATABASE:
        yield checks.Warning(
            f"Q_CLUSTER['orm'] is {alias!r}, but runs are stored in {conf.DATABASE!r} "
            "(WORKFLOWS['DATABASE']): tasks and runs do not commit together.",
            hint=f"{_READY}'orm': {conf.DATABASE!r}.",
            id="django_workflows.W011",
        )


def _harm(cluster: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    if cluster.get("sync"):
        yield checks.Warning(
            "Q_CLUSTER['sync'] runs ordinary tasks in the caller, and no cluster runs "
            "workflows.",
            hint="Remove 'sync'; in tests use django_workflows.testing.",
            id="django_workflows.W017",
        )
    if cluster.get("save_limit", 250) >= 0:
        yield checks.Warning(
            "Q_CLUSTER saves the result of each successful task, which costs three "
            "quarters of the throughput.",
            hint=f"{_READY}'save_limit': -1. Failures are saved all the same.",
            id="django_workflows.W010",
        )
    if not cluster.get("ack_failures") and not cluster.get("max_attempts"):
        yield checks.Warning(
            "Q_CLUSTER: an ordinary task that fails is repeated for ever.",
            hint=f"{_READY}'ack_failures': True and 'max_attempts': 1.",
            id="django_workflows.W012",
        )
    if cluster.get("bulk", 1) < 2:
        yield checks.Warning(
            "Q_CLUSTER fetches one ordinary task at a time.",
            hint=f"{_READY}'bulk': 10.",
            id="django_workflows.W013",
        )
    if cluster.get("poll", 0.2) > 1:
        yield checks.Warning(
            f"Q_CLUSTER['poll'] = {cluster['poll']} delays stopping the cluster by as "
            "many seconds, and makes nothing cheaper: workflows are not polled for.",
            hint=f"{_READY}'poll': 0.5.",
            id="django_workflows.W014",
        )
    if "ALT_CLUSTERS" not in cluster:
        yield checks.Warning(
            "Q_CLUSTER has no ALT_CLUSTERS: django-q2 fails with a KeyError when a "
            "cluster is started for another queue.",
            hint=f"{_READY}'ALT_CLUSTERS': {{}}.",
            id="django_workflows.W015",
        )
