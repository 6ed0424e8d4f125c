from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

import django_workflows.conf
from django_workflows.conf import DEFAULTS, conf


def test_the_defaults_hold_without_a_setting(settings: Any) -> None:
    del settings.WORKFLOWS
    assert conf.DATABASE == "default"
    assert (conf.LEASE, conf.GRACE, conf.LINGER, conf.SLICE) == (15, 30, 1, 30)
    assert conf.BURST_TIMEOUT == 2
    assert conf.MAX_PAYLOAD_BYTES == 2 * 1024 * 1024
    assert conf.unknown_keys() == []


def test_settings_are_read_live(settings: Any) -> None:
    settings.WORKFLOWS = {"LEASE": "1m", "THREADS": 3}
    assert (conf.LEASE, conf.THREADS, conf.GRACE) == (60, 3, 30)
    with override_settings(WORKFLOWS={"LEASE": 2.5}):
        assert (conf.LEASE, conf.THREADS) == (2.5, 8)
    assert conf.LEASE == 60


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="LAESE"):
        _ = conf.LAESE  # type: ignore[attr-defined]


def test_unknown_keys_are_listed(settings: Any) -> None:
    settings.WORKFLOWS = {"LAESE": 1, "THREADS": 2, "A": 3}
    assert conf.unknown_keys() == ["A", "LAESE"]


def test_nonsense_is_told_by_its_key(settings: Any) -> None:
    settings.WORKFLOWS = {"LEASE": "soon"}
    with pytest.raises(ImproperlyConfigured, match=r"\['LEASE'\].*'soon'"):
        _ = conf.LEASE
    settings.WORKFLOWS = ["LEASE"]
    with pytest.raises(ImproperlyConfigured, match="must be a dict"):
        _ = conf.THREADS


def test_every_setting_is_declared_for_type_checkers() -> None:
    source = Path(django_workflows.conf.__file__).read_text()
    for name in DEFAULTS:
        assert f"        {name}: " in source
