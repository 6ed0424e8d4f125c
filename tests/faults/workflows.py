"""Workflows whose steps leave traces, so that a test can count what really ran."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal

from django_workflows import (
    RetryPolicy,
    continue_as_new,
    create_hook,
    get_step_metadata,
    sleep,
    step,
    workflow,
)
from django_workflows.errors import PayloadTooLargeError, StepError, StepTimeoutError
from django_workflows.models import Event
from tests.app.models import Ledger, Marker

#: Whether `blocked_beside_a_step` does what blocks it, as before a fixed deploy.
misbehaves: list[bool] = []
#: Called in the middle of each step's body, after its effect.
during_body: list[Callable[[str], None]] = []
#: Called with the seconds that the code of a step takes: no such code really waits, or
#: on a busy machine its time-outs would come for others, too.
take_time: list[Callable[[float], None]] = []


def _mark(name: str) -> None:
    facts = get_step_metadata()
    Marker.objects.create(name=name, value=facts.step_id, attempt=facts.attempt)
    for call in during_body:
        call("in body")


@step(name="faults.plain")
def plain(account: str, number: int) -> int:
    """An ordinary step: its effect may be repeated after a crash."""
    _mark(f"{account}/plain{number}")
    return number


@step(name="faults.on_loop")
async def on_loop(account: str, number: int) -> int:
    """An asynchronous step."""
    facts = get_step_metadata()
    await Marker.objects.acreate(
        name=f"{account}/loop{number}", value=facts.step_id, attempt=facts.attempt
    )
    for call in during_body:
        call("in body")
    return number


@step(
    name="faults.flaky", retry=RetryPolicy(maximum_attempts=4, initial_interval="10s")
)
def flaky(account: str) -> str:
    """Fails at its first two attempts."""
    _mark(f"{account}/flaky")
    if get_step_metadata().attempt < 3:
        raise ConnectionError("not yet")
    return "in the end"


@step(name="faults.book", atomic=True)
def book(account: str, amount: int) -> int:
    """Books exactly once."""
    Ledger.objects.create(account=account, amount=Decimal(amount))
    for call in during_body:
        call("in body")
    return amount


@step(
    name="faults.flaky_book",
    atomic=True,
    retry=RetryPolicy(maximum_attempts=4, initial_interval="10s"),
)
def flaky_book(account: str, amount: int) -> int:
    """Books at its second attempt; what the first one booked is rolled back."""
    Ledger.objects.create(account=account, amount=Decimal(amount))
    for call in during_body:
        call("in body")
    if get_step_metadata().attempt < 2:
        raise ConnectionError("not yet")
    return amount


@workflow(name="faults.everything")
async def everything(account: str) -> list[object]:
    """One of each: step, retry, atomic step, gather, sleep, hook."""
    first = await plain(account, 1)
    retried = await flaky(account)
    booked = await book(account, 10)
    both = await asyncio.gather(
        on_loop(account, 1), plain(account, 2), flaky_book(account, 20)
    )
    await sleep("1h")
    with create_hook(token=f"{account}/approval") as hook:
        approval = await hook
    last = await plain(account, 3)
    return [first, retried, booked, both, approval, last]


RESULT = [1, "in the end", 10, [1, 2, 20], "approved", 3]
#: What `everything` books, and how many steps of each kind it has.
BOOKED = [Decimal(10), Decimal(20)]


@workflow(name="faults.short")
async def short(account: str) -> list[int]:
    """Two steps beside each other, one after them."""
    pair = await asyncio.gather(plain(account, 1), book(account, 5))
    return [*pair, await plain(account, 2)]


@workflow(name="faults.in_a_row")
async def in_a_row(account: str, count: int) -> list[int]:
    """So many steps, each after the one before."""
    return [await plain(account, number) for number in range(count)]


@workflow(name="faults.listener")
async def listener(account: str, count: int) -> list[object]:
    """Collects so many payloads."""
    with create_hook(token=f"{account}/inbox") as hook:
        return [await hook for _ in range(count)]


@workflow(name="faults.disposer")
async def disposer(account: str, count: int) -> list[object]:
    """Disposes of its hook long before it ends."""
    with create_hook(token=f"{account}/inbox") as hook:
        payloads = [await hook for _ in range(count)]
    await sleep("1h")
    return payloads


@workflow(name="faults.approved_steps")
async def approved_steps(account: str) -> list[object]:
    """Waits, works, and waits again."""
    first = await create_hook(token=f"{account}/first")
    done = await plain(account, 1)
    return [first, done, await create_hook(token=f"{account}/second")]


@workflow(name="faults.poisoned_later")
async def poisoned_later(account: str) -> None:
    """Has two hooks when it does what no database takes."""
    create_hook(token=f"{account}/other")
    await create_hook(token=f"{account}/inbox")
    await create_hook(token="half a pair \ud800")


@workflow(name="faults.changes_doors")
async def changes_doors(account: str) -> list[object]:
    """Gives one hook up and takes another one, all in one burst."""
    with create_hook(token=f"{account}/inbox") as hook:
        first = await hook
    with create_hook(token=f"{account}/other") as other:
        return [first, await other]


@workflow(name="faults.claims")
async def claims(account: str, tokens: list[str]) -> list[str]:
    """Claims tokens and says which of them it did not get; holds the others."""
    hooks = [create_hook(token=token) for token in tokens]
    owners = [await hook.get_conflict() for hook in hooks]
    await create_hook(token=f"{account}/end")
    return [token for token, owner in zip(tokens, owners, strict=True) if owner]


@workflow(name="faults.swaps")
async def swaps(account: str, mine: str, other: str) -> bool:
    """Gives one token up and claims another in the same burst."""
    with create_hook(token=mine):
        await create_hook(token=f"{account}/go")
    return await create_hook(token=other).get_conflict() is None


@workflow(name="faults.claims_anything")
async def claims_anything(account: str, token: str) -> None:
    """Claims a token that not every database takes."""
    await plain(account, 1)
    await create_hook(token=token).get_conflict()


@step(name="faults.says", max_retries=0)
def says(account: str, what: str, times: int, fails: bool) -> str:
    """Returns a text or raises it."""
    if fails:
        raise ValueError(what * times)
    return what * times


@step(name="faults.says_atomically", atomic=True, max_retries=0)
def says_atomically(account: str, what: str, times: int, fails: bool) -> str:
    """Returns a text or raises it, in a transaction."""
    Ledger.objects.create(account=account)
    said: str = says.func(account, what, times, fails)
    return said


@workflow(name="faults.talks")
async def talks(account: str, what: str, times: int, fails: bool, atomic: bool) -> str:
    """Lets a step say something, and says it itself."""
    call = says_atomically if atomic else says
    try:
        return await call(account, what, times, fails)
    except PayloadTooLargeError:
        return "PayloadTooLargeError"
    except (RuntimeError, StepError) as error:
        return type(error).__name__
    except ValueError as error:
        return f"ValueError: {error}"


@workflow(name="faults.holds_on")
async def holds_on(account: str) -> list[object]:
    """Listens while a step is in flight."""
    hook = create_hook(token=f"{account}/inbox")
    done = plain(account, 1)
    return [await hook, await done]


@workflow(name="faults.elsewhere")
async def elsewhere(account: str) -> int:
    """Has its step done by other workers."""
    return await plain.options(queue="elsewhere")(account, 1)


@workflow(name="faults.raises")
async def raises(account: str, what: str) -> None:
    """Fails with a text."""
    raise ValueError(what)


@workflow(name="faults.cleans_up")
async def cleans_up(account: str) -> str:
    """Books when it is left, in whatever way."""
    try:
        await plain(account, 1)
        return str(await create_hook(token=f"{account}/inbox"))
    finally:
        await book(account, 7)


@step(name="faults.slow_on_paper")
def slow_on_paper(account: str) -> str:
    """Ends when the test says so: its executor does not run it before."""
    _mark(f"{account}/slow")
    return "slow"


@workflow(name="faults.timed")
async def timed(account: str, seconds: float) -> str:
    """Does not wait for its step for longer than that."""
    try:
        async with asyncio.timeout(seconds):
            return await slow_on_paper(account)
    except TimeoutError:
        await sleep("1h")
        return "too late"


@workflow(name="faults.blocked_beside_a_step")
async def blocked_beside_a_step(account: str) -> list[object]:
    """Has a step in flight when its code does what it must not."""
    slow = slow_on_paper(account)
    await plain(account, 1)
    if misbehaves:
        time.time()
    return [await slow, await plain(account, 2)]


@step(
    name="faults.shaky", retry=RetryPolicy(maximum_attempts=4, initial_interval="20ms")
)
def shaky(account: str) -> str:
    """Fails at its first attempt, takes a moment at the others."""
    _mark(f"{account}/shaky")
    if get_step_metadata().attempt == 1:
        raise ConnectionError("not yet")
    time.sleep(0.005)
    return "now"


@workflow(name="faults.busy")
async def busy(account: str) -> list[object]:
    """A bit of everything, within a tenth of a second."""
    hook = create_hook(token=f"{account}/approval")
    first = await plain(account, 1)
    three = await asyncio.gather(
        book(account, 1), shaky(account), on_loop(account, 1), book(account, 2)
    )
    await sleep(0.02)
    approval = await hook
    return [first, *three, approval, await book(account, 4)]


BUSY_RESULT = [1, 1, "now", 1, 2, "approved", 4]


@workflow(name="faults.relay")
async def relay(account: str, runs: int, each: int, seen: list[object]) -> list[object]:
    """Collects so many payloads in each of so many runs, all by one hook."""
    with create_hook(token=f"{account}/inbox") as hook:
        seen = [*seen, *[await hook for _ in range(each)]]
        await plain(account, runs)
        if runs > 1:
            continue_as_new(account, runs - 1, each, seen)
    return seen


@workflow(name="faults.conveyor")
async def conveyor(account: str, each: int, seen: list[object]) -> list[object]:
    """Collects payloads until told to stop, so many in each run of a chain."""
    with create_hook(token=f"{account}/inbox") as hook:
        for _ in range(each):
            payload = await hook
            if payload == "stop":
                break
            seen = [*seen, payload]
        else:
            continue_as_new(account, each, seen)
    return seen


@workflow(name="faults.restless")
async def restless(account: str) -> None:
    """Goes on in new runs for ever, until it is cancelled."""
    await plain(account, 1)
    continue_as_new(account)


@workflow(name="faults.alarm")
async def alarm(account: str) -> list[int]:
    """A sleep with a step on either side."""
    first = await plain(account, 1)
    await sleep("10s")
    return [first, await plain(account, 2)]


@workflow(name="faults.tidy")
async def tidy(account: str) -> None:
    """Sleeps, and tidies up in any case."""
    try:
        await sleep("1h")
    finally:
        await plain(account, 1)


@step(
    name="faults.hangs",
    timeout=0.1,
    retry=RetryPolicy(maximum_attempts=2, initial_interval="10s"),
)
def hangs(account: str, attempts: int) -> str:
    """Takes too long at its first attempts."""
    _mark(f"{account}/hangs")
    if not _hung(f"{account}/hangs", attempts):
        return "in the end"
    for call in take_time:
        call(0.12)
    return "too late"


@step(
    name="faults.hangs_and_tells",
    heartbeat_timeout=0.1,
    retry=RetryPolicy(maximum_attempts=3, initial_interval="10s"),
)
def hangs_and_tells(account: str) -> list[object]:
    """Is silent for too long, then raises; each attempt is told of the one before."""
    facts = get_step_metadata()
    _mark(f"{account}/tells")
    told = facts.heartbeat_details or []
    facts.heartbeat([*told, len(told)])
    if len(told) == 0:
        for call in take_time:
            call(0.12)
    if len(told) < 2:
        raise ConnectionError("not yet")
    return list(told)


def _hung(name: str, attempts: int) -> bool:
    """Whether this is one of the first attempts whose end was recorded, as a crash
    makes more of them than there are."""
    errors = Event.objects.filter(
        run_id=get_step_metadata().run_id,
        type="step_timed_out",
        correlation_id=get_step_metadata().step_id,
    )
    return errors.count() < attempts


@step(
    name="faults.never_works",
    schedule_to_close_timeout="25s",
    retry=RetryPolicy(initial_interval="10s", backoff_coefficient=1),
)
def never_works(account: str) -> None:
    """Is given up after all its attempts took too long together."""
    _mark(f"{account}/never")
    raise ConnectionError("never")


@workflow(name="faults.takes_too_long")
async def takes_too_long(account: str) -> list[object]:
    """Time-outs of all kinds, beside each other and one after the other."""
    found = await asyncio.gather(
        hangs(account, 1),
        hangs(account, 2),
        hangs_and_tells(account),
        hangs_and_tells.options(heartbeat_timeout=None)(account),
        never_works(account),
        never_works.options(schedule_to_start_timeout="15s", queue="other")(account),
        return_exceptions=True,
    )
    return [each.kind if isinstance(each, StepTimeoutError) else each for each in found]


TOOK_TOO_LONG = [
    "in the end",
    "start_to_close",
    [0, 1],
    [0, 1],
    "schedule_to_close",
    "schedule_to_start",
]
