from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from rest_framework.permissions import AllowAny, IsAdminUser, IsAuthenticated

from django_workflows.checks.options import check_options
from django_workflows.checks.security import check_access, check_deployment

if TYPE_CHECKING:
    from pytest_django import Settings

SAFE = {"BASE_URL": "https://shop.example.com"}
PERMISSIONS = "rest_framework.permissions."


class Half:
    """No permission class: it never looks at a run."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return True


def ids(messages: list[Any]) -> list[str]:
    return [message.id.removeprefix("django_workflows.") for message in messages]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"PERMISSION_CLASSES": [IsAdminUser | IsAuthenticated]},
        {"PERMISSION_CLASSES": (f"{PERMISSIONS}IsAdminUser",)},
        {"AUTHENTICATION_CLASSES": []},
        {
            "AUTHENTICATION_CLASSES": [
                "rest_framework.authentication.BaseAuthentication"
            ]
        },
        {"REDACT": ["password"]},
    ],
)
def test_what_is_in_order_gives_no_message(
    value: dict[str, Any], settings: Settings
) -> None:
    settings.WORKFLOWS = value
    assert check_options() == []
    assert check_access() == []


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        ({"PERMISSION_CLASSES": ["no.such.Class"]}, "E027", "cannot be imported"),
        ({"PERMISSION_CLASSES": ["Class"]}, "E027", "cannot be imported"),
        ({"PERMISSION_CLASSES": [IsAdminUser()]}, "E027", "is no class"),
        ({"PERMISSION_CLASSES": [Half]}, "E027", "no method has_object_permission"),
        ({"AUTHENTICATION_CLASSES": [IsAdminUser]}, "E027", "no method authenticate"),
    ],
)
def test_wrong_class_is_named(
    value: dict[str, Any], code: str, said: str, settings: Settings
) -> None:
    settings.WORKFLOWS = value
    (message,) = check_access()
    assert ids([message]) == [code]
    assert said in message.msg
    assert check_deployment() == []


@pytest.mark.parametrize(
    "value",
    [
        {"PERMISSION_CLASSES": f"{PERMISSIONS}IsAdminUser"},
        {"AUTHENTICATION_CLASSES": IsAdminUser},
        {"REDACT": "password"},
        {"REDACT": [b"password"]},
    ],
)
def test_list_is_wanted(value: dict[str, Any], settings: Settings) -> None:
    settings.WORKFLOWS = value
    (message,) = check_options()
    assert ids([message]) == ["E022"]
    assert "list" in message.msg
    assert check_access() == check_deployment() == []


def test_wrong_keys_are_told_by_their_place(settings: Settings) -> None:
    good = Fernet.generate_key().decode()
    settings.WORKFLOWS = {
        "PAYLOAD_CODEC": "django_workflows.codecs.FernetCodec",
        "ENCRYPTION_KEYS": [good, "hush", good[:-4]],
    }
    messages = check_access()
    assert ids(messages) == ["E028", "E028"]
    assert "[1]" in messages[0].msg
    assert "[2]" in messages[1].msg
    assert not any("hush" in str(message) for message in messages)


@pytest.mark.parametrize("key", ["ENCRYPTION_KEYS", "REDIS_URL"])
def test_secrets_are_not_in_messages(key: str, settings: Settings) -> None:
    settings.WORKFLOWS = {key: {"hush": 1}}
    (message,) = check_options()
    assert "hush" not in str(message)


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        ({"PERMISSION_CLASSES": []}, "W040", "anybody at all may see and steer"),
        ({"PERMISSION_CLASSES": [AllowAny]}, "W040", "anybody at all may see and"),
        (
            {"PERMISSION_CLASSES": [f"{PERMISSIONS}IsAuthenticatedOrReadOnly"]},
            "W040",
            "anybody at all may see every run",
        ),
        (
            {"PERMISSION_CLASSES": [f"{PERMISSIONS}IsAuthenticated", AllowAny]},
            "W040",
            "every user who can log in",
        ),
        ({"BASE_URL": "http://shop.example.com"}, "W041", "http://shop"),
        ({"BASE_URL": "https://localhost:8000"}, "W041", "localhost"),
        ({"BASE_URL": "https://127.0.0.1"}, "W041", "127.0.0.1"),
        ({"BASE_URL": "https://[::1]/"}, "W041", "::1"),
        ({"BASE_URL": "shop.example.com"}, "W041", "shop.example.com"),
        ({"BASE_URL": "https://[::1"}, "W041", "nobody outside"),
        ({"FETCH_ALLOW_PRIVATE": True}, "W042", "FETCH_ALLOW_PRIVATE"),
    ],
)
def test_unsafe_setting_is_warned_of_before_a_deployment(
    value: dict[str, Any], code: str, said: str, settings: Settings
) -> None:
    settings.WORKFLOWS = SAFE | value
    (message,) = check_deployment()
    assert ids([message]) == [code]
    assert said in message.msg
    # Since 6.1 some of Django's own ask all databases unless told otherwise.
    assert message not in run_checks(databases=[])
    assert message in run_checks(databases=[], include_deployment_checks=True)


@pytest.mark.parametrize(
    "classes",
    [None, [IsAdminUser], [IsAdminUser, IsAuthenticated], [IsAuthenticated, Half]],
)
def test_safe_settings_give_no_warning(classes: Any, settings: Settings) -> None:
    settings.WORKFLOWS = SAFE | {"PERMISSION_CLASSES": classes}
    assert check_deployment() == []


def test_default_address_is_warned_of(settings: Settings) -> None:
    del settings.WORKFLOWS
    assert ids(check_deployment()) == ["W041"]
