"""Who follows runs in these tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections

from tests.push.sockets import login


@pytest.fixture
async def thread_of_async_code(
    transactional_db: None, sessions_end: None
) -> AsyncIterator[None]:
    """Close the connections of the thread in which async code has used the database."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
def staff(thread_of_async_code: None) -> dict[str, str]:
    """The headers of somebody who may see all runs."""
    return login(User.objects.create_user("staff", is_staff=True))
