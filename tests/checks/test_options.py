from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from django_workflows.checks.cluster import check_cluster
from django_workflows.checks.database import check_database
from django_workflows.checks.options import check_options
from django_workflows.conf import DEFAULTS

if TYPE_CHECKING:
    from pytest_django import Settings


class Halfway:
    """A codec that cannot read what it wrote."""

    def encode(self, data: bytes) -> bytes:
        return data


def test_defaults_and_absence_give_no_message(settings: Settings) -> None:
    settings.WORKFLOWS = dict(DEFAULTS)
    assert check_options() == []
    del settings.WORKFLOWS
    assert check_options() == []


@pytest.mark.parametrize(
    ("value", "code", "said", "hint"),
    [
        (["LEASE"], "E020", "list", "dict"),
        ({"LEESE": "15s"}, "E021", "'LEESE'", "Did you mean 'LEASE'?"),
        ({"threads": 3}, "E021", "'threads'", "Did you mean 'THREADS'?"),
        ({"xyzzy": 3}, "E021", "'xyzzy'", "Known are: ASYNC_STEPS"),
        ({"LEASE": "soon"}, "E022", "'soon'", "'15s'"),
        ({"SLICE": [1]}, "E022", "[1]", "'30s'"),
        ({"THREADS": 0}, "E022", "positive whole number", "8"),
        ({"THREADS": "8"}, "E022", "positive whole number", "8"),
        ({"THREADS": True}, "E022", "positive whole number", "8"),
        ({"GUARD": "no"}, "E022", "True or False", "True"),
        ({"BASE_URL": None}, "E022", "text", "http://localhost:8000"),
        ({"DATABASE": ["default"]}, "E022", "text", "'default'"),
        ({"ENCRYPTION_KEYS": "key"}, "E022", "list", "[]"),
        ({"REDIS_URL": 3}, "E022", "text", "None"),
        ({"PAYLOAD_CODEC": "no.such.Codec"}, "E023", "cannot be imported", "encode"),
        (
            {"PAYLOAD_CODEC": "tests.checks.test_options.Halfway"},
            "E023",
            "has no method decode",
            "encode",
        ),
        ({"DATABASE": "elsewhere"}, "E024", "'elsewhere'", "default"),
        (
            {"PAYLOAD_CODEC": "django_workflows.codecs.FernetCodec"},
            "E026",
            "ENCRYPTION_KEYS",
            "generate_key",
        ),
        ({"HISTORY_WARNING": 60_000}, "W020", "60000", "Lower"),
    ],
)
def test_wrong_option_is_named_with_the_fix(
    value: Any, code: str, said: str, hint: str, settings: Settings
) -> None:
    settings.WORKFLOWS = value
    (message,) = check_options()
    assert message.id == f"django_workflows.{code}"
    assert said in message.msg
    assert hint in str(message.hint)
    # The other checks read the same setting and must not fall over it.
    check_cluster()
    check_database()


def test_redis_url_without_redis_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_workflows.checks.options.find_spec", lambda name: None)
    settings.WORKFLOWS = {"REDIS_URL": "redis://127.0.0.1"}
    assert [m.id for m in check_options()] == ["django_workflows.E025"]
