"""The ready-made django-q2 settings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from django_workflows.worker.q2.settings import q_cluster


def test_q_cluster_fills_in_what_matters() -> None:
    settings = q_cluster(workers=3)
    assert settings["broker_class"] == "django_workflows.broker.WorkflowBroker"
    assert settings["queue_limit"] == settings["workers"] == 3
    assert settings["retry"] > settings["timeout"]
    assert settings["save_limit"] == -1
    assert settings["ack_failures"] is True
    assert settings["scheduler"] is False


def test_q_cluster_takes_overrides() -> None:
    settings = q_cluster(workers=2, bulk=1, timeout=60, label="Queue", queue_limit=7)
    assert (settings["bulk"], settings["label"]) == (1, "Queue")
    assert (settings["timeout"], settings["queue_limit"]) == (60, 7)
    assert settings["retry"] > 60


def test_q_cluster_without_timeout_still_retries() -> None:
    settings = q_cluster(timeout=None)
    assert settings["timeout"] is None
    assert settings["retry"] > 0


def test_q_cluster_refuses_a_retry_below_the_timeout() -> None:
    with pytest.raises(ValueError, match="retry"):
        q_cluster(timeout=60, retry=60)


def test_q_cluster_can_be_used_in_a_settings_module() -> None:
    """Neither apps nor settings nor django-q2 may be loaded by the import."""
    code = (
        "import sys, django_workflows\n"
        "django_workflows.q_cluster(workers=1)\n"
        "loaded = {'django.apps', 'django.conf', 'django_q'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0
