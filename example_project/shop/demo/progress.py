"""How far the orders are, read from the shop's tables, and showing it live."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from django.db.models import Count
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..models import Charge, Order, PaymentRequest, Purchase, Reservation

_Status = Order.Status


@dataclass(frozen=True)
class Snapshot:
    """The state of the shop at one moment, in numbers."""

    orders: int
    placed: int
    priced: int
    waiting_lines: int
    paid: int
    shipped: int
    delivered: int
    cancelled: int
    purchases: int
    purchases_received: int
    payment_requests: int

    @classmethod
    def take(cls) -> Snapshot:
        """Count now."""
        orders = dict.fromkeys(_Status.values, 0) | dict(
            Order.objects.values_list("status").annotate(count=Count("pk"))
        )
        purchases = dict(
            Purchase.objects.values_list("status").annotate(count=Count("pk"))
        )
        return cls(
            orders=sum(orders.values()),
            placed=orders[_Status.PLACED],
            priced=orders[_Status.PRICED],
            waiting_lines=Reservation.objects.filter(
                status=Reservation.Status.WAITING
            ).count(),
            paid=Charge.objects.count(),
            shipped=orders[_Status.SHIPPED],
            delivered=orders[_Status.DELIVERED],
            cancelled=orders[_Status.CANCELLED],
            purchases=sum(purchases.values()),
            purchases_received=purchases.get(Purchase.Status.RECEIVED, 0),
            payment_requests=PaymentRequest.objects.count(),
        )

    @property
    def closed(self) -> int:
        """Orders that are delivered or cancelled."""
        return self.delivered + self.cancelled

    @property
    def decided(self) -> float:
        """The share of orders whose fate is known: paid or cancelled."""
        return (self.paid + self.cancelled) / max(self.orders, 1)


class Display(Protocol):
    """Shows progress while the orders are on their way."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...
    def show(self, snapshot: Snapshot, clusters: Sequence[ClusterState]) -> None: ...
    def say(self, text: str, style: str = "") -> None: ...


@dataclass(frozen=True)
class ClusterState:
    """Whether a cluster is there, and how much of it has been killed so far."""

    name: str
    is_running: bool
    kills: int


def make_display(console: Console, title: str) -> Display:
    """Return a live display on a terminal, plain lines anywhere else."""
    if console.is_terminal:
        return LiveDisplay(console, title)
    return PlainDisplay(console)


class PlainDisplay:
    """One line every few seconds."""

    SECONDS = 3.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def show(self, snapshot: Snapshot, clusters: Sequence[ClusterState]) -> None:
        """Print the line if its time has come, or if it is the last one."""
        now = time.monotonic()
        if now < self._next and snapshot.closed < snapshot.orders:
            return
        self._next = now + self.SECONDS
        self.say(
            f"{snapshot.closed}/{snapshot.orders} closed: "
            f"{snapshot.delivered} delivered, {snapshot.cancelled} cancelled; "
            f"{snapshot.shipped} on the way, {snapshot.waiting_lines} lines wait, "
            f"purchases {snapshot.purchases_received}/{snapshot.purchases}"
        )

    def say(self, text: str, style: str = "") -> None:
        """Print one line with the time."""
        self._console.print(timed(text, self._began), soft_wrap=True)


class LiveDisplay:
    """A panel that stays in place, with the events scrolling above it."""

    #: Columns of the panel, at most.
    WIDTH = 100

    def __init__(self, console: Console, title: str) -> None:
        self._began = time.monotonic()
        self._title = title
        self._width = min(console.width, self.WIDTH)
        self._live = Live(console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot, clusters: Sequence[ClusterState]) -> None:
        """Redraw the panel."""
        parts = (
            ("placed", snapshot.placed, "bright_black"),
            ("in work", snapshot.priced, "yellow"),
            ("shipped", snapshot.shipped, "cyan"),
            ("delivered", snapshot.delivered, "green"),
            ("cancelled", snapshot.cancelled, "red"),
        )
        legend = Text("  ").join(
            Text.assemble(("■ ", style), f"{label} ", (f"{count:,}", "bold"))
            for label, count, style in parts
        )
        facts = Table.grid(padding=(0, 3))
        facts.add_column(style="bright_black")
        facts.add_row(
            "stock",
            f"{snapshot.waiting_lines:,} order lines wait; purchases received: "
            f"{snapshot.purchases_received:,} of {snapshot.purchases:,}",
        )
        facts.add_row(
            "payments",
            f"{snapshot.paid:,} charges in {snapshot.payment_requests:,} requests",
        )
        facts.add_row("workers", Text("   ").join(map(describe_cluster, clusters)))
        bar = [(count, style) for _, count, style in parts[::-1]]
        self._live.update(
            Panel(
                Group(stacked_bar(bar, self._width - 6), "", legend, "", facts),
                title=f"[bold]{self._title}[/bold]",
                title_align="left",
                subtitle=f"{snapshot.closed:,} of {snapshot.orders:,} closed after "
                f"{time.monotonic() - self._began:.0f} s",
                subtitle_align="right",
                border_style="bright_black",
                padding=(1, 2),
                width=self._width,
            )
        )

    def say(self, text: str, style: str = "") -> None:
        """Print one line above the panel, with the time."""
        self._live.console.print(timed(text, self._began, style))


def timed(text: str, began: float, style: str = "") -> Text:
    """Return a line that says how long after `began` it happened."""
    seconds = time.monotonic() - began
    return Text.assemble((f"{seconds:6.1f} s  ", "bright_black"), (text, style))


def stacked_bar(parts: Sequence[tuple[int, str]], width: int) -> Text:
    """Draw counts and their styles side by side, `width` characters in all.

    A count above zero is never invisible, and the characters always add up.
    """
    visible = [(count, style) for count, style in parts if count]
    total = sum(count for count, _ in visible)
    bar = Text()
    seen = drawn = 0
    for left, (count, style) in zip(
        reversed(range(len(visible))), visible, strict=True
    ):
        seen += count
        until = min(width - left, max(round(seen * width / total), drawn + 1))
        bar.append("█" * (until - drawn), style)
        drawn = until
    return bar


def describe_cluster(cluster: ClusterState) -> Text:
    """Return a cluster's name, whether it is there, and how often it was hit."""
    there = cluster.is_running
    text = Text.assemble(
        (("● " if there else "○ "), "green" if there else "red"), cluster.name
    )
    if cluster.kills:
        text.append(f" (killed {cluster.kills}x)", "red")
    return text
