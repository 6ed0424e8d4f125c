"""How tests read pages: as their users do."""

from __future__ import annotations

import re
from contextlib import ExitStack
from html import unescape

from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_workflows.admin.addresses import run_url
from django_workflows.store.database import alias

__all__ = ["client_of", "queries_of", "read", "run_url", "text_of", "user_with"]


def text_of(html: str) -> str:
    """What a page says, without its markup and superfluous white space."""
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def read(client: Client, url: str) -> str:
    """The text of a page that is there, without what surrounds its content."""
    answer = client.get(url)
    assert answer.status_code == 200, answer
    html = answer.content.decode()
    return text_of(html.partition('id="content"')[2].partition(">")[2])


def user_with(*codenames: str, name: str = "anna") -> User:
    """A user of the admin who has these permissions and no others."""
    user = User.objects.create_user(name, is_staff=True)
    permissions = Permission.objects.filter(
        content_type__app_label="django_workflows", codename__in=codenames
    )
    assert len(permissions) == len(codenames)
    user.user_permissions.set(permissions)
    return user


def client_of(user: User) -> Client:
    """The browser of a user who has logged in."""
    client = Client()
    client.force_login(user)
    return client


def queries_of(client: Client, url: str) -> int:
    """How many statements a page takes, once what is cached is cached."""
    assert client.get(url).status_code == 200
    with ExitStack() as stack:
        captured = [
            stack.enter_context(CaptureQueriesContext(connections[name]))
            for name in {"default", alias()}
        ]
        client.get(url)
    return sum(map(len, captured))
