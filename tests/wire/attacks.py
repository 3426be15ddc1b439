"""What the tests of attacks on the order path share: how the world is brought to the awkward moment, and how the test waits for what it brings."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from bot.services import Desk
from core.model import BrokerBook, Order, OrderState
from tests.kit import PATIENCE_SECONDS, House, Json
from tests.wire.faults import approve

ALIVE = ("PreSubmitted", "Submitted")


def desk_of(house: House) -> Desk:
    """The desk of the bot that runs in this process."""
    assert house.desk is not None
    return house.desk


def only(house: House) -> Order:
    """The one order that is open here."""
    (order,) = desk_of(house).executor.orders
    return order


async def holding(house: House, symbol: str = "AAPL") -> Decimal:
    """How many shares the broker has."""
    told = (await house.control.book())["positions"]
    return sum((Decimal(p["quantity"]) for p in told if p["symbol"] == symbol), Decimal(0))


async def orders(house: House, kind: str = "") -> list[Json]:
    """The broker's orders, oldest first; of one kind (LMT, STP) where that is named."""
    told: list[Json] = (await house.control.book())["orders"]
    return [o for o in told if kind in ("", o["type"])]


async def alive(house: House, kind: str = "") -> list[Json]:
    """Those of them that work."""
    return [o for o in await orders(house, kind) if o["status"] in ALIVE]


async def on_stop(house: House) -> Decimal:
    """How many shares the broker's stops would sell."""
    return sum((Decimal(o["quantity"]) - Decimal(o["filled"]) for o in await alive(house, "STP")), Decimal(0))


async def filled(house: House, line: str, pattern: str) -> Json:
    """An order at the market: its card, after its fill, and the state of its stop, were told. `pattern` is what card and news call it."""
    card = await approve(house, line, pattern)
    await house.phone.hears(f"FILLED {pattern}", after=card["id"])
    await heard(house)
    return card


async def resting(house: House, line: str = "/buy AAPL 10 @ 150", pattern: str = "BUY 10 AAPL") -> Json:
    """An order that works at the broker: its card."""
    card = await approve(house, line, pattern)
    await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    await heard(house)
    return card


async def with_refused_stop(house: House, line: str, pattern: str, count: int = 1) -> Json:
    """A bracket whose stop the broker refuses: its card, after the refusal was told."""
    card = await house.phone.asks(line, pattern)
    await house.control.post("/tws/reject", type="STP", count=count)
    await house.phone.taps("Send", card)
    await house.phone.hears("REJECTED SELL", after=card["id"])
    return card


async def change_asked(house: House, line: str, pattern: str) -> Json:
    """A change that was approved and is not confirmed yet: its card."""
    card = await approve(house, line, pattern)
    return await house.phone.sees(lambda m: m["id"] == card["id"] and "Change asked" in m["text"])


async def later(house: House, seconds: float = 6) -> None:
    """So much time passes, and whoever watches the orders looks again."""
    await house.control.post("/clock", advance=seconds)
    desk_of(house).executor._book.opened(())


async def compared(house: House) -> None:
    """The books are compared once, from the question to the end. `mark_reconciled` is wrapped: nothing else tells of that end."""
    desk, done = desk_of(house), asyncio.Event()
    real = desk.broker.mark_reconciled

    def marks(epoch: int) -> None:
        real(epoch)
        if not desk.executor._doubt.is_set():  # or else it began before it was asked for here
            done.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.broker, "mark_reconciled", marks)
        desk.executor._doubt.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await done.wait()
    async with desk.executor._book.lock:
        pass  # it writes until it lets go of this


async def heard(house: House) -> None:
    """All that the broker has said so far about orders is booked: answers on the same line come behind it."""
    desk = desk_of(house)
    await desk.broker.book()
    async with desk.executor._book.lock:
        pass


async def hide_orders(house: House, hidden: bool = True) -> None:
    """What the broker says of its open orders is lost on the way from now on, so that its answers lack them, as those of a TWS that still
    loads; or it is not lost any more."""
    for what in ("open_order", "status"):
        await house.control.post("/tws/lose", what=what, count=10_000 if hidden else 0)


async def unknown(house: House, number: int) -> None:
    """The books are compared until the order of that number is UNKNOWN, for lack of any word on it."""
    book = desk_of(house).executor._book
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any((o.number, o.state) == (number, OrderState.UNKNOWN) for o in book.orders):
            await compared(house)


@contextlib.asynccontextmanager
async def during_a_comparison(house: House) -> AsyncIterator[None]:
    """What happens inside lies between the broker's answers and their booking. `book` is wrapped: the answers are held back until the end."""
    desk = desk_of(house)
    go, reached, real = asyncio.Event(), asyncio.Event(), desk.broker.book

    async def slow() -> BrokerBook:
        told = await real()
        reached.set()
        await go.wait()
        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.broker, "book", slow)
        desk.executor._doubt.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reached.wait()
    try:
        yield
    finally:
        go.set()


async def cut(house: House) -> None:
    """The line is cut and stays away; that has been told."""
    await house.control.post("/tws/refuse", on=True)
    await house.control.post("/tws/drop")
    await house.phone.hears("Broker not reachable")
