"""Whatever is sent to the API, it answers as its own description says."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import settings
from hypothesis import strategies as st

from django_workflows import create_hook, sleep, start, step, workflow
from django_workflows.api.openapi import description
from django_workflows.definitions import register
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.api.test_health import add_worker
from tests.api.test_hooks import decision

#: By the name of the path's parameter, what there is for a while.
living: dict[str, list[str]] = {}

#: What a description cannot say: which workflows, events and actions there are, and
#: what they and hooks take. The answers are 400, as they should be.
_MAY_BE_REFUSED = (
    r"^/workflows/api/"
    r"(runs/|runs/\{id\}/fork/|hooks/\{token\}/resume/|definitions/.*|events/)$"
)
CONFIG = schemathesis.Config.from_dict(
    {
        # The description says so in words, and other tests that they are refused.
        "generation": {"allow-x00": False},
        "operations": [
            {
                "include-path-regex": _MAY_BE_REFUSED,
                "include-method": ["POST", "PUT"],
                "checks": {
                    "positive_data_acceptance": {
                        "expected-statuses": ["2xx", 400, 401, 403, 404, 409]
                    }
                },
            }
        ],
    }
)

#: Beside the cases that schemathesis derives from the description itself. The profile
#: `long` tries many.
FEW = 2 if settings().max_examples == 100 else 100

Case = schemathesis.Case[Any]


def loaded() -> Any:
    described = schemathesis.openapi.from_dict(
        description("workflows/api/"), config=CONFIG
    )
    described.app = WSGIHandler()
    described.hook(flatmap_path_parameters)
    return described


def flatmap_path_parameters(
    context: Any, path_parameters: dict[str, Any] | None
) -> st.SearchStrategy[dict[str, Any] | None]:
    """Most requests are about something that there is."""
    if not path_parameters:
        return st.just(path_parameters)
    # A stream is followed for as long as its run is open.
    prefix = "closed " if context.operation.path.endswith("/stream/") else ""
    known = {
        name: st.sampled_from([*living.get(prefix + name, []), value])
        for name, value in path_parameters.items()
    }
    return st.fixed_dictionaries(known)


by_staff, by_anybody = loaded(), loaded()


@by_staff.auth()
class Staff:
    """Signs requests with the password."""

    def get(self, case: Case, context: Any) -> str:
        return b64encode(b"staff:secret").decode()

    def set(self, case: Case, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Basic {data}"


@step
def failing(number: int) -> int:
    raise ValueError("no")


@step
def double(number: int) -> int:
    return 2 * number


@workflow(api=True)
async def open_to_all(number: int = 1, mode: str = "sleep") -> Any:
    """Do this or that."""
    if mode == "sleep":
        await sleep("1h")
    if mode == "fail":
        await failing.options(max_retries=0)(number)
    return await double(number)


@workflow
async def waiting() -> Any:
    return [await create_hook(token="plain"), await decision.create(token="decide")]


@pytest.fixture(autouse=True)
def a_site(workflows: WorkflowTester) -> Iterator[None]:
    """One transaction, a user, and runs in several states."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    User.objects.create_user("staff", password="secret", is_staff=True)
    add_worker()
    runs = [start(open_to_all, 1, mode) for mode in ("sleep", "fail", "return")]
    runs += [start(open_to_all), start(waiting)]
    workflows.run_until_idle()
    runs[3].pause()
    workflows.run_until_idle()
    closed = [run.pk for run in Run.objects.closed()]
    assert 0 < len(closed) < len(runs)
    living.update({"id": [run.pk for run in runs], "closed id": closed})
    register({"id": "living", "steps": [{"id": "a", "action": "noop"}]})
    living["id"].append("living")
    living["token"] = ["plain", "decide"]
    yield
    living.clear()
    for signal in signals:
        signal.connect(close_old_connections)


@by_staff.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=FEW)
def test_staff(case: Case) -> None:
    # One comes from an earlier page; any other is refused, as other tests show.
    case.query.pop("cursor", None)
    case.call_and_validate()


@by_anybody.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=FEW // 2)
def test_anybody(case: Case) -> None:
    case.call_and_validate()
