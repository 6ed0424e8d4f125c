"""Who may open a websocket; every refusal looks the same."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tests.cluster.harness import DEADLINE
from tests.push.sockets import BARE, HERE, WRAPPED, communicator, connected, login
from tests.push.workflows import answer

EVERYBODY = {"PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"]}


class OnlyOwn(BasePermission):
    """Lets a user have the runs that are named after it."""

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        owner: bool = obj.key == request.user.get_username()
        return owner


class KeyAuthentication(BaseAuthentication):
    """Who knows the key is staff."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        if request.headers.get("X-Key") != "right":
            return None
        return User(username="machine", is_staff=True), None


async def open_run(key: str = "a run") -> str:
    run = await answer.options(key=key).astart("push:admission")
    run_id: str = run.pk
    return run_id


@pytest.mark.parametrize("application", [WRAPPED, BARE], ids=["wrapped", "bare"])
async def test_browsers_are_let_in_with_their_session_from_our_pages(
    staff: dict[str, str], application: Any, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    run_id = await open_run()
    async with connected(run_id, "", staff, application) as socket:
        assert await socket.receive() == {"type": "status", "status": "pending"}
    await refused(communicator(run_id, "", {"cookie": staff["cookie"]}, application))
    await refused(communicator(run_id, "", {"origin": HERE}, application))
    for change in [
        {"origin": "http://evil.example"},
        {"origin": "http://testserver.evil.example"},
        {"origin": "http://evil.example:80@testserver"},
        {"origin": "file://testserver"},
        {"origin": "http://["},
        {"origin": "null"},
        {"origin": f"{HERE},{HERE}"},
        {"origin": ""},
        {"cookie": "sessionid=none"},
        {"cookie": ""},
    ]:
        headers = staff | change
        await refused(communicator(run_id, "", headers, application), change)


async def test_what_cannot_be_followed_is_refused(staff: dict[str, str]) -> None:
    run_id = await open_run()
    for number in ("x", "1.5", "--1", "+1", "9" * 19, "%D9%A1"):
        await refused(communicator(run_id, f"start={number}", staff), number)
    for other in ("wrun_0", "%00", "ä"):
        await refused(communicator(other, "", staff), other)
    opened = communicator(run_id, "", staff)
    opened.scope["query_string"] = b"start=\xff"
    await refused(opened)


async def test_user_without_permission_is_refused(staff: dict[str, str]) -> None:
    user = await sync_to_async(User.objects.create_user)("somebody")
    await refused(communicator(await open_run(), "", await sync_to_async(login)(user)))


async def test_runs_are_asked_about_one_by_one(
    staff: dict[str, str], settings: Any
) -> None:
    settings.WORKFLOWS = {"PERMISSION_CLASSES": [OnlyOwn]}
    async with connected(await open_run("staff"), "", staff):
        pass
    await refused(communicator(await open_run("other"), "", staff))


async def test_credentials_of_its_own_need_no_origin(
    staff: dict[str, str], settings: Any
) -> None:
    settings.WORKFLOWS = {"AUTHENTICATION_CLASSES": [KeyAuthentication]}
    run_id = await open_run()
    async with connected(run_id, "", {"x-key": "right"}):
        pass
    await refused(communicator(run_id, "", {"x-key": "wrong"}))
    await refused(communicator(run_id, "", staff))


async def test_everybody_may_come_without_a_session(
    staff: dict[str, str], settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.WORKFLOWS = EVERYBODY
    run_id = await open_run()
    async with connected(run_id), connected(run_id, "", {"origin": HERE}):
        pass
    await refused(communicator(run_id, "", {"origin": "http://evil.example"}))


async def test_origin_of_a_developer_is_this_machine(
    staff: dict[str, str], settings: Any
) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS = True, []
    run_id = await open_run()
    async with connected(run_id, "", staff | {"origin": "http://[::1]:8000"}):
        pass
    await refused(communicator(run_id, "", staff))


async def refused(opened: Any, what: object = None) -> None:
    """Not accepted, and closed without a word: the server answers 403."""
    await opened.send_input({"type": "websocket.connect"})
    output = await opened.receive_output(timeout=DEADLINE)
    assert output == {"type": "websocket.close"}, what
    await opened.disconnect(timeout=DEADLINE)
