from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from django_workflows.broker import WorkflowBroker
from django_workflows.checks.cluster import check_cluster
from django_workflows.worker.q2.settings import q_cluster

if TYPE_CHECKING:
    from pytest_django import Settings


class OwnBroker(WorkflowBroker):
    """A project's own variant."""


def test_ready_made_settings_give_no_message(settings: Settings) -> None:
    settings.Q_CLUSTER = q_cluster()
    assert check_cluster() == []
    settings.Q_CLUSTER = q_cluster(workers=2, timeout=None)
    assert check_cluster() == []


def test_subclass_of_the_broker_gives_no_message(settings: Settings) -> None:
    settings.Q_CLUSTER = q_cluster(broker_class="tests.checks.test_cluster.OwnBroker")
    assert check_cluster() == []


def test_missing_cluster_is_an_error(settings: Settings) -> None:
    del settings.Q_CLUSTER
    (message,) = check_cluster()
    assert message.id == "django_workflows.E010"
    assert "q_cluster()" in str(message.hint)


@pytest.mark.parametrize(
    ("change", "code", "said", "hint"),
    [
        ({"broker_class": None}, "E011", "no broker_class", "WorkflowBroker"),
        ({"broker_class": "no.such.Broker"}, "E011", "no.such", "WorkflowBroker"),
        (
            {"broker_class": "django_q.brokers.orm.ORM"},
            "E011",
            "does not know workflows",
            "WorkflowBroker",
        ),
        (
            {"broker_class": "django.core.mail.send_mail"},
            "E011",
            "is no broker",
            "WorkflowBroker",
        ),
        ({"timeout": 90, "retry": 90}, "E012", "retry (90 s)", "more than 90"),
        ({"timeout": "90"}, "E012", "no number", "number"),
        ({"save_limit": 250}, "W010", "saves the result", "'save_limit': -1"),
        ({"orm": "other"}, "W011", "'other'", "'orm': 'default'"),
        (
            {"ack_failures": False, "max_attempts": 0},
            "W012",
            "for ever",
            "'max_attempts': 1",
        ),
        ({"bulk": 1}, "W013", "one ordinary task at a time", "'bulk': 10"),
        ({"poll": 5}, "W014", "delays stopping", "'poll': 0.5"),
        ({"timeout": 60, "retry": 120}, "W016", "timeout (60 s)", "more than 60"),
        ({"sync": True}, "W017", "sync", "django_workflows.testing"),
    ],
)
def test_setting_that_hurts_is_named_with_the_fix(
    change: dict[str, Any],
    code: str,
    said: str,
    hint: str,
    settings: Settings,
) -> None:
    settings.Q_CLUSTER = {**q_cluster(), **change}
    (message,) = check_cluster()
    assert message.id == f"django_workflows.{code}"
    assert said in message.msg
    assert hint in str(message.hint)


def test_missing_alternatives_are_named(settings: Settings) -> None:
    settings.Q_CLUSTER = q_cluster()
    del settings.Q_CLUSTER["ALT_CLUSTERS"]
    assert [m.id for m in check_cluster()] == ["django_workflows.W015"]


def test_stock_settings_are_warned_about(settings: Settings) -> None:
    settings.Q_CLUSTER = {"name": "default", "orm": "default"}
    ids = {
        str(message.id).removeprefix("django_workflows.") for message in check_cluster()
    }
    assert ids == {"E011", "W010", "W012", "W013", "W015"}
