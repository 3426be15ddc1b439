"""Attacks on the guard of brackets: bought shares are not left bare in silence, and no stop ever sells what is not there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest

from core.errors import Busy
from core.model import Instrument, Order
from tests.kit import PATIENCE_SECONDS, House, Json
from tests.wire.attacks import (
    compared,
    cut,
    desk_of,
    filled,
    heard,
    hide_orders,
    holding,
    later,
    on_stop,
    orders,
    resting,
    unknown,
    with_refused_stop,
)

NOT_AGAIN = "Its stop is not at the broker and is not sent again"
ONCE_MORE = "It is sent once more, as #"


async def test_it_measures_by_the_less(house: House) -> None:
    """Everything was sold in TWS, which is told to another client as a position only: the stop of ten would open a short."""
    async with house.bot(ibkr_client_id=7):
        await house.ready()
        before = await holding(house)
        card = await with_refused_stop(house, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        await house.control.post("/tws/external", symbol="AAPL", side="SELL", quantity=int(before) + 10)
        await house.phone.asks("/positions", "^(?!.*AAPL).*Total")
        await later(house)
        await house.phone.hears(f"{NOT_AGAIN}|{ONCE_MORE}")
        assert await on_stop(house) == await holding(house) == 0


async def test_what_was_sold_is_not_protected(live: House) -> None:
    """The ten are sold before the guard comes: the older shares of the same kind never had a stop and get none."""
    card = await with_refused_stop(live, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
    await live.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    await filled(live, "/sell AAPL 10", "SELL 10 AAPL")
    await later(live)
    await live.phone.hears(f"{NOT_AGAIN}|{ONCE_MORE}")
    assert await on_stop(live) == 0


async def test_what_was_sold_long_ago_is_not_protected_either(house: House) -> None:
    """Nine days and a restart later the sale is older than the executions that are remembered: the other shares still get no stop."""
    async with house.bot():
        await house.ready()
        card = await with_refused_stop(house, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        await filled(house, "/sell AAPL 10", "SELL 10 AAPL")
        await later(house)
        await house.phone.hears(NOT_AGAIN)
    await house.control.post("/clock", advance=9 * 86_400)
    last = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await house.phone.hears("Connected", after=last)
        await compared(house)
        await later(house)
        await compared(house)
        await later(house)
        await house.phone.asks("/status", "Broker connected")
        assert await on_stop(house) == 0


async def test_what_was_settled_is_not_told_at_every_start(house: House) -> None:
    """That a stop is not sent again, because its shares are sold, is said once and not again by every run."""
    async with house.bot():
        await house.ready()
        card = await with_refused_stop(house, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        await filled(house, "/sell AAPL 10", "SELL 10 AAPL")
        await later(house)
        await house.phone.hears(NOT_AGAIN)
    last = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await house.phone.hears("Connected", after=last)
        await compared(house)
        await later(house)
        await compared(house)
        await later(house)
        await house.phone.asks("/status", "Broker connected")
        assert len([m for m in await house.phone.chat() if NOT_AGAIN in m["text"]]) == 1


async def test_a_stop_that_the_broker_cancels_before_the_fill_is_put_back(live: House) -> None:
    """The broker takes the stop away while the entry waits, and the entry fills a moment later: the shares get their stop."""
    await resting(live, "/buy AAPL 10 @ 150 sl 140")
    entry, stop = await orders(live)
    await live.control.post("/tws/cancel", order=stop["ref"], reason="the broker's risk desk")
    await live.control.post("/tws/fill", order=entry["ref"])
    await live.phone.hears("FILLED BUY 10 AAPL")
    await later(live)
    await live.phone.hears(ONCE_MORE)
    assert await on_stop(live) == 10


async def test_that_it_went_before_the_fill_outlives_a_restart(house: House) -> None:
    """The broker takes the stop away, the entry fills, both are heard, and the bot ends before it has mended that: the next run does."""
    async with house.bot():
        await house.ready()
        entry, stop = await bracket(house)
        await house.control.post("/tws/cancel", order=stop["ref"], reason="the broker's risk desk")
        await house.control.post("/tws/fill", order=entry["ref"])
        await house.phone.hears("FILLED BUY 10 AAPL")
    async with started_again(house):
        await house.phone.hears(ONCE_MORE)
        assert await on_stop(house) == 10


async def test_filled_while_nobody_looks_after_the_stop_went(house: House) -> None:
    """That the stop is gone is heard; that the entry has filled only by the next run."""
    async with house.bot():
        await house.ready()
        entry, stop = await bracket(house)
        await house.control.post("/tws/cancel", order=stop["ref"], reason="the broker's risk desk")
        await house.phone.hears("#2 · ✖️ cancelled")
    await house.control.post("/tws/fill", order=entry["ref"])
    async with started_again(house):
        await house.phone.hears(ONCE_MORE)
        assert await on_stop(house) == 10


@pytest.mark.parametrize("restarts", [True, False], ids=["restart", "cut"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_what_happened_unseen_is_told_by_its_times(house: House, before: bool, restarts: bool) -> None:
    """Stop cancelled and entry filled while nobody looks: gone before the fill it is put back, taken away two seconds after it is not."""

    async def unseen() -> None:
        steps = [("cancel", stop["ref"]), ("fill", entry["ref"])]
        for step, ref in steps if before else reversed(steps):
            await house.control.post(f"/tws/{step}", order=ref)
            await house.control.post("/clock", advance=2)

    async with house.bot():
        await house.ready()
        entry, stop = await bracket(house)
        if not restarts:
            await cut(house)
            await unseen()
            await house.control.post("/tws/refuse", on=False)
            await house.phone.hears("While you were away")
            await judged(house, before)
    if restarts:
        await unseen()
        async with started_again(house):
            await judged(house, before)


async def judged(house: House, again: bool) -> None:
    """Whatever the guard wants to do, it has done: ten shares have their stop again, or are bare because a person wants that."""
    await compared(house)
    await later(house)
    if again:
        await house.phone.hears(ONCE_MORE)
    await compared(house)
    await later(house)
    assert await on_stop(house) == (10 if again else 0)


async def test_a_stop_that_was_put_back_may_be_taken_away(house: House) -> None:
    """The memory that the first stop went early is over with the second: who takes that one away finds it gone after a restart too."""
    async with house.bot():
        await house.ready()
        entry, stop = await bracket(house)
        await house.control.post("/tws/cancel", order=stop["ref"], reason="the broker's risk desk")
        await house.control.post("/tws/fill", order=entry["ref"])
        await house.phone.hears("FILLED BUY 10 AAPL")
        await later(house)
        await house.phone.hears(ONCE_MORE)
        await heard(house)
        await house.control.post("/clock", advance=2)
        await house.control.post("/tws/cancel", order=(await orders(house))[-1]["ref"])
        await house.phone.hears("Cancelled SELL 10 AAPL.*have no stop now")
    async with started_again(house):
        await judged(house, False)


async def bracket(house: House) -> tuple[Json, Json]:
    """(entry, stop) of a bracket that waits."""
    await resting(house, "/buy AAPL 10 @ 150 sl 140")
    entry, stop = await orders(house)
    return entry, stop


@contextlib.asynccontextmanager
async def started_again(house: House) -> AsyncIterator[None]:
    """The next run of the bot, connected and compared, when seconds have passed in which it could ask."""
    last = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await house.phone.hears("Connected.*compared|While you were away", after=last)
        await compared(house)
        await later(house)
        yield


async def test_a_resting_sale_of_other_shares_does_not_blind_it(live: House) -> None:
    """A sale that moved the stop of an earlier card may rest for days; a later card of the same symbol is guarded all the same."""
    before = await holding(live)
    await filled(live, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
    await resting(live, f"/sell AAPL {before + 10:f} @ 300", "SELL")
    card = await with_refused_stop(live, "/buy AAPL 7 sl 151", "BUY 7 AAPL")
    await live.phone.hears("FILLED BUY 7 AAPL", after=card["id"])
    await later(live)
    await live.phone.hears(ONCE_MORE, after=card["id"])
    assert await on_stop(live) == 7


async def test_a_stop_that_was_put_back_and_refused_is_sent_once_more(live: House) -> None:
    """A sale is cancelled and its protection put back, which the broker refuses once: one refusal is not two."""
    before = await holding(live)
    await filled(live, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
    await resting(live, f"/sell AAPL {before + 10:f} @ 300", "SELL")
    await live.control.post("/tws/reject", type="STP", count=1)
    asked = await live.phone.says("/cancel 3")
    await live.phone.hears("REJECTED SELL 10 AAPL stop 150", after=asked)
    await later(live)
    await live.phone.hears(f"{ONCE_MORE}|twice", after=asked)
    assert await on_stop(live) == 10
    assert not [m for m in await live.phone.chat() if "twice" in m["text"]]


async def test_refused_twice_is_not_said_of_shares_that_are_sold(house: House) -> None:
    """Refused twice, then everything is sold: after a restart nobody claims that shares are not protected."""
    async with house.bot():
        await house.ready()
        before = await holding(house)
        await with_refused_stop(house, "/buy AAPL 10 sl 150", "BUY 10 AAPL", count=2)
        await later(house)
        again = await house.phone.hears(f"{ONCE_MORE}3")
        await house.phone.hears("REJECTED SELL", after=again["id"])
        await later(house)
        told = await house.phone.hears("NOT protected")
        await filled(house, f"/sell AAPL {before + 10:f}", f"SELL {before + 10:f} AAPL")
    last = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await house.phone.hears("Connected", after=last)
        await compared(house)
        await later(house)
        assert [m["id"] for m in await house.phone.chat() if "NOT protected" in m["text"]] == [told["id"]]


async def test_a_stop_that_never_left_is_not_a_refusal(live: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard's own stop meets the limit of messages: it is tried again, and nobody says that it was refused twice.

    `place` is wrapped: the limit cannot be met at that very moment in another way.
    """
    card = await with_refused_stop(live, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
    await live.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    broker = desk_of(live).broker
    real = broker.place

    def full(orders: Sequence[Order], instrument: Instrument, parent_id: int = 0) -> None:
        monkeypatch.setattr(broker, "place", real)
        raise Busy("The broker's limit of messages per second is reached, so nothing was sent.")

    monkeypatch.setattr(broker, "place", full)
    await later(live)
    await live.phone.hears(f"{ONCE_MORE}3")
    await later(live)
    await live.phone.hears(f"{ONCE_MORE}4|twice")
    assert await on_stop(live) == 10


async def test_a_stop_that_a_kill_kept_back_is_not_a_refusal(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the commit and the sending of the guard's stop: the next run sends it, when the first is known not to be there.

    `place` is wrapped: it is where this run ends.
    """
    async with house.bot() as desk:
        await house.ready()
        card = await with_refused_stop(house, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        dead = asyncio.Event()

        def dies(*_: object) -> None:
            dead.set()
            raise asyncio.CancelledError

        monkeypatch.setattr(desk.broker, "place", dies)
        await later(house)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await dead.wait()
    last = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await compared(house)
        await later(house)
        await compared(house)
        await later(house)
        await house.phone.hears(f"{ONCE_MORE}4|twice", after=last)
        assert await on_stop(house) == 10


async def test_a_stop_that_is_not_shown_gets_no_twin(house: House) -> None:
    """Two answers of a TWS that still loads lack a stop that once stood there: it may be there, which is said, and no second one is sent."""
    async with house.bot(ibkr_client_id=7):
        await house.ready()
        await filled(house, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
        await hide_orders(house)
        await unknown(house, 2)
        await later(house)
        await compared(house)
        await later(house)
        await house.phone.hears(f"#2.*may be there, so no second one is sent|{ONCE_MORE}")
        await hide_orders(house, False)
        await compared(house)
        assert await on_stop(house) == 10
        assert len(await orders(house)) == 2


async def test_of_two_stops_for_the_same_shares_the_younger_goes(house: House) -> None:
    """A stop of which no word ever came is taken for never sent, and sent once more; then it is there after all: one of the two goes."""
    async with house.bot(ibkr_client_id=7):
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10 sl 150", "BUY 10 AAPL")
        await hide_orders(house)
        await house.phone.taps("Send", card)
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        await unknown(house, 2)
        await later(house)
        await compared(house)
        await later(house)
        await house.phone.hears(ONCE_MORE, after=card["id"])
        await hide_orders(house, False)
        await compared(house)
        await house.phone.hears("the stop that was thought lost, is at the broker after all")
        await house.phone.hears("Cancelled SELL 10 AAPL")
        assert await on_stop(house) == 10


async def test_a_cancel_does_not_wait_for_its_question(live: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the guard asks the broker for an instrument, a cancel leaves. `find` is wrapped: its answer is held back."""
    await resting(live, "/buy KO 1 @ 40", "BUY 1 KO")
    card = await with_refused_stop(live, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
    await live.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    broker, asked, go = desk_of(live).broker, asyncio.Event(), asyncio.Event()
    real = broker.find

    async def slow(symbol: str) -> Instrument:
        if symbol == "AAPL":
            asked.set()
            await go.wait()
        return await real(symbol)

    monkeypatch.setattr(broker, "find", slow)
    await later(live)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asked.wait()
    await live.phone.says("/cancel 1")
    await live.phone.hears("Cancelled BUY 1 KO")
    go.set()
    await live.phone.hears(ONCE_MORE)
    assert await on_stop(live) == 10


async def test_what_an_entry_bought_before_its_cancel_keeps_its_stop(live: House) -> None:
    """Four of ten are bought when the owner cancels the rest: the four keep the stop that was approved for them."""
    await live.control.post("/tws/fills", mode="hold")
    await resting(live, "/buy AAPL 10 @ 150 sl 140")
    entry, _ = await orders(live)
    await live.control.post("/tws/fill", order=entry["ref"], quantity=4)
    await live.phone.hears("4/10")
    await live.phone.says("/cancel 1")
    await live.phone.hears("Cancelled BUY 10 AAPL")
    await later(live)
    await compared(live)
    await later(live)
    await compared(live)
    assert await on_stop(live) == Decimal(4)
