from __future__ import annotations

import re

import pytest

from django_workflows.checks.sources import check_sources
from tests.checks.conftest import Define

HEADER = """
import asyncio
import datetime
import os
import random
import secrets
import subprocess
import time
import uuid
from datetime import datetime as dt
from random import randint
from time import sleep as pause

import numpy as np
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from django_workflows.replay.definitions import workflow

@workflow
async def order(item=None):
    {body}
"""
LINE = 1 + HEADER[: HEADER.index("{body}")].count("\n")


@pytest.mark.parametrize(
    ("body", "call", "fix"),
    [
        ("time.time()", "time.time()", "django_workflows.now()"),
        ("pause(1)", "time.sleep()", "django_workflows.sleep"),
        ("datetime.datetime.now()", "datetime.datetime.now()", "now()"),
        ("dt.utcnow()", "datetime.datetime.utcnow()", "now()"),
        ("datetime.date.today()", "datetime.date.today()", "now()"),
        ("timezone.now()", "django.utils.timezone.now()", "now()"),
        ("time.strftime('%Y')", "time.strftime()", "now()"),
        ("random.random()", "random.random()", "django_workflows.random()"),
        ("randint(1, 6)", "random.randint()", "django_workflows.random()"),
        ("random.Random()", "unseeded random.Random()", "random()"),
        ("np.random.rand()", "numpy.random.rand()", "random()"),
        ("uuid.uuid4()", "uuid.uuid4()", "django_workflows.uuid4()"),
        ("secrets.token_hex()", "secrets.token_hex()", "uuid4()"),
        ("os.urandom(4)", "os.urandom()", "uuid4()"),
        ("open('x')", "open()", "@step"),
        ("os.listdir('.')", "os.listdir()", "@step"),
        ("subprocess.run(['x'])", "subprocess.run()", "@step"),
        ("import requests; requests.get('x')", "get()", "fetch("),
        ("from requests import post; post('x')", "post()", "@step"),
        ("import httpx as h; h.get('x')", "httpx", "@step"),
        ("from time import time; time()", "time.time()", "now()"),
        ("ContentType.objects.count()", "ContentType.objects", "@step"),
        ("await asyncio.to_thread(print)", "asyncio.threads.to_thread()", "@step"),
        ("item = [f'{time.time()}' for _ in item]", "time.time()", "now()"),
    ],
)
def test_call_that_would_not_replay_is_found(
    body: str, call: str, fix: str, define: Define
) -> None:
    module = define(HEADER.replace("{body}", body))
    (message,) = check_sources()
    assert message.id == "django_workflows.W001"
    assert message.obj is module.order
    assert message.msg.startswith(f"{module.__file__}:{LINE}: ")
    assert call in message.msg
    assert module.order.name in message.msg
    assert fix in str(message.hint)


@pytest.mark.parametrize(
    "body",
    [
        "print('x')",
        "random.Random(3).random()",
        "time.strftime('%Y', time.gmtime(0))",
        "datetime.datetime(2024, 1, 1)",
        "uuid.UUID(int=1)",
        "uuid.uuid5(uuid.NAMESPACE_DNS, 'x')",
        "await asyncio.sleep(1)",
        "ContentType.__name__",
        "open = print; open('x')",
        "time = item; time.time()",
        "item.objects.all()",
        "(lambda time: time.time())(item)",
        "from somewhere import time; time()",
    ],
)
def test_namesakes_and_pure_calls_are_not_found(body: str, define: Define) -> None:
    define(HEADER.replace("{body}", body))
    assert check_sources() == []


def test_every_call_is_listed_with_its_line(define: Define) -> None:
    define(
        '''
        import time
        from django_workflows.replay.definitions import workflow

        @workflow(
            name="two.lines",
        )
        async def order():
            """A text
        with less indentation than the function."""
            time.time()

            async def inner():
                time.sleep(1)
        '''
    )
    lines = [re.search(r":(\d+):", m.msg).group(1) for m in check_sources()]  # type: ignore[union-attr]
    assert lines == ["11", "14"]


def test_code_without_source_is_passed_over(define: Define) -> None:
    define(
        """
        from django_workflows.replay.definitions import workflow

        text = '''
        import time
        @workflow
        async def order():
            time.time()
        '''
        import textwrap
        exec(textwrap.dedent(text))
        """
    )
    assert check_sources() == []
