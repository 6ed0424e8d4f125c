"""A run with something of everything, and the panels of its page."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from typing import Any

from django.test import Client

from django_workflows import (
    RetryPolicy,
    create_hook,
    get_step_metadata,
    get_writable,
    sleep,
    start_child,
    step,
    workflow,
)
from django_workflows.admin.addresses import run_url
from django_workflows.models import Run


@step(name="panels.double")
def double(number: int) -> int:
    return 2 * number


@step(name="panels.flaky", retry=RetryPolicy(initial_interval="5s", maximum_attempts=3))
def flaky(account: str, password: str = "") -> str:
    number = get_step_metadata().attempt
    if number < 3:
        raise ConnectionError(f"no answer for {account}, password={password!r}")
    return f"paid by {account}"


@step(
    name="panels.refused", retry=RetryPolicy(initial_interval="2s", maximum_attempts=2)
)
def refused() -> None:
    raise ValueError("no credit at all")


#: What the next step fails for.
broken: set[str] = set()


@step(name="panels.maybe", max_retries=0)
def maybe(name: str) -> str:
    if name in broken:
        raise ValueError(f"{name} is broken")
    return name


@step(name="panels.telling")
def telling(count: int) -> None:
    out = get_writable("words")
    for number in range(count):
        out.write({"word": number, "password": f"secret {number}"})
    get_writable().write("<b>all told</b>")


@workflow(name="panels.resting")
async def resting(length: str) -> str:
    await sleep(length)
    return length


@workflow(name="panels.shop")
async def shop(count: int = 2) -> None:
    """Steps side by side, one that fails, and a hook that nobody answers."""
    await asyncio.gather(
        flaky("ada", password="sesame"),
        start_child(resting, "8s"),
        sleep("7s"),
        *map(double, range(count)),
    )
    await asyncio.gather(refused(), return_exceptions=True)
    with create_hook(token="very-secret-token", metadata={"for": "the boss"}) as hook:
        await hook


@workflow(name="panels.two_steps")
async def two_steps() -> None:
    await maybe("first")
    await maybe("second")


@workflow(name="panels.doubling")
async def doubling(count: int) -> None:
    await asyncio.gather(*map(double, range(count)))
    await sleep("1d")


@workflow(name="panels.tale")
async def tale(count: int) -> None:
    await telling(count)
    await sleep("1d")


def panel(client: Client, run: Run, name: str, **query: Any) -> str:
    """The HTML of a panel of a run's page; empty if the page has none of this name."""
    answer = client.get(run_url(run), query)
    assert answer.status_code == 200
    return part(answer.content.decode(), name)


def part(page: str, name: str) -> str:
    """The HTML of a panel of a page."""
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    return "" if found is None else found[0]


def links(html: str) -> dict[str, str]:
    """Where links lead, by what they say."""
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', html, re.DOTALL)
    return {
        " ".join(re.sub(r"<[^>]*>", " ", unescape(text)).split()): unescape(url)
        for url, text in found
    }
