"""The real connection asks the simulated TWS for chains, contracts and markets of options: right, quick, and within the message limit."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from core.broker import IBBroker
from core.errors import BadInput, NotConnected, Refused
from core.model import (
    BrokerEvent,
    BrokerMessage,
    Chain,
    Dividend,
    Execution,
    Instrument,
    Leg,
    LinkChanged,
    OptionTerms,
    Order,
    OrderReport,
    OrderType,
    Right,
    Side,
)
from core.options import combine
from core.quotes import MORE_TICKS, MOST_LINES
from sim.tws import contracts
from sim.world import World
from tests.kit import PATIENCE_SECONDS, Control, WorldClock
from tests.values import order, ticket


@dataclass
class Road:
    """The broker's port on a world of its own, and what was heard on it."""

    world: World
    control: Control
    broker: IBBroker
    heard: list[BrokerEvent] = field(default_factory=list)
    links: asyncio.Queue[LinkChanged] = field(default_factory=asyncio.Queue)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def find(self, symbol: str = "AAPL") -> tuple[Instrument, Chain]:
        """An underlying and its chain."""
        found = await self.broker.find(symbol)
        return found, await self.broker.chain(found)

    async def options(self, symbol: str = "AAPL", strikes: int = 2) -> list[Instrument]:
        """Calls and puts of so many strikes around the middle of the chain's fourth expiry."""
        underlying, chain = await self.find(symbol)
        found = await self.broker.options(underlying, wishes(chain, strikes))
        return [one for one in found if one is not None]

    async def asked(self, *kinds: str) -> int:
        """How many requests of these kinds the simulated TWS has read."""
        told = (await self.control.get("/tws/counts"))["requests"]
        return sum(told.get(kind, 0) for kind in kinds)

    async def lines(self) -> int:
        """How many streams of prices are open there."""
        return await self.asked("market_data") - await self.asked("cancel_market_data")

    def codes(self) -> list[int]:
        """The broker's error codes so far, without those that say that all is well."""
        told = [event.code for event in self.heard if isinstance(event, BrokerMessage)]
        return [code for code in told if code not in {2104, 2106, 2158}]


def wishes(chain: Chain, strikes: int, expiry: int = 3) -> list[OptionTerms]:
    """Calls and puts of so many strikes around the middle."""
    first = (len(chain.strikes) - strikes) // 2
    return [
        OptionTerms(chain.expiries[expiry], strike, right, chain.multiplier, chain.trading_class)
        for strike in chain.strikes[first : first + strikes]
        for right in Right
    ]


@contextlib.asynccontextmanager
async def connected(world: World, client_id: int) -> AsyncIterator[Road]:
    """A connected broker, whose events somebody takes."""
    async with aiohttp.ClientSession() as http:
        broker = IBBroker(
            host="127.0.0.1",
            port=world.tws.port,
            client_id=client_id,
            account="",
            wanted=True,
            clock=WorldClock(world),
        )
        made = Road(world, Control(http, world.control_url), broker)

        async def listen() -> None:
            while True:
                made.heard.append(await broker.next_event())
                made.news.set()
                if isinstance(made.heard[-1], LinkChanged):
                    made.links.put_nowait(made.heard[-1])

        tasks = [asyncio.create_task(broker.run()), asyncio.create_task(listen())]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await made.links.get()
            yield made
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks)


@pytest.fixture
async def road() -> AsyncIterator[Road]:
    """The same in a world of its own, where no limit may be passed."""
    async with World(None, servers=["tws"]) as world, connected(world, 0) as made:
        yield made
        assert (await made.control.get("/tws/counts"))["limits"] == {}


# --- which options there are ------------------------------------------------------------------------------------------


async def test_a_chain_and_its_contracts(road: Road) -> None:
    """A class of shares with a dot in its name, one strike that exists and one that does not."""
    underlying, chain = await road.find("BRK.B")
    assert (chain.con_id, chain.trading_class, chain.multiplier) == (underlying.con_id, "BRKB", Decimal(100))
    assert list(chain.expiries) == sorted(set(chain.expiries))
    assert list(chain.strikes) == sorted(set(chain.strikes))
    [good, *_] = wanted = wishes(chain, 1)
    found = await road.broker.options(underlying, [*wanted, replace(good, strike=Decimal("0.03"))])
    assert [one and one.option for one in found] == [*wanted, None]
    first = found[0]
    assert first is not None
    assert (first.symbol, first.kind, first.multiplier, first.currency) == (
        "BRK.B",
        "OPT",
        Decimal(100),
        "USD",
    )
    assert first.con_id > 0
    assert first.label.startswith(f"BRK.B {good.strike.normalize():f} C ")


async def test_terms_without_a_class_mean_the_standard_one(road: Road) -> None:
    """The same contract is found, and asked for once."""
    underlying, chain = await road.find()
    exact = wishes(chain, 1)
    named = await road.broker.options(underlying, exact)
    vague = await road.broker.options(underlying, [replace(terms, trading_class="") for terms in exact])
    assert vague == named
    assert None not in named


async def test_what_was_asked_is_not_asked_again(road: Road) -> None:
    """A chain, its contracts and what does not exist are known for hours; a page costs two questions and brings every strike."""
    underlying, chain = await road.find()
    wanted = wishes(chain, 8)
    found = await road.broker.options(underlying, wanted)
    assert None not in found
    assert await road.asked("contract_details") == 1 + 2
    assert await road.broker.options(underlying, wanted) == found
    assert None not in await road.broker.options(underlying, wishes(chain, 40))
    assert await road.broker.chain(underlying) == chain
    assert await road.asked("contract_details", "option_parameters") == 1 + 2 + 1


async def test_nothing_is_listed(road: Road) -> None:
    """It is said in a sentence, and is no empty chain."""
    london = next(one for one in contracts.INSTRUMENTS if one.time_zone == "Europe/London")
    underlying = replace(await road.broker.find("AAPL"), con_id=london.con_id, symbol=london.symbol)
    with pytest.raises(BadInput, match="no listed options"):
        await road.broker.chain(underlying)


async def test_no_connection_is_no_empty_chain(road: Road) -> None:
    """Whoever asks while the road is down hears that it is."""
    underlying, chain = await road.find()
    road.broker.want(False)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert not (await road.links.get()).up
    for ask in (
        road.broker.options(underlying, wishes(chain, 1)),
        road.broker.chain(underlying),
        road.broker.dividend(underlying),
        road.broker.option_quotes([underlying], 5, 5),
    ):
        with pytest.raises(NotConnected):
            await ask


async def test_ticks_depend_on_the_price(road: Road) -> None:
    """The broker's rule of a class says how; it is asked for once."""
    cents, [five, *_] = await road.options("AAPL"), await road.options("BRK.B")
    assert {one.tick_at(Decimal(9)) for one in cents} == {Decimal("0.01")}
    assert (five.tick_at(Decimal("2.99")), five.tick_at(Decimal(3))) == (Decimal("0.01"), Decimal("0.05"))
    await road.options("BRK.B", 6)
    assert await road.asked("market_rule") == 2


# --- their markets ----------------------------------------------------------------------------------------------------


async def test_the_markets_of_several_options(road: Road) -> None:
    """Each with both sides, the Greeks of the model and its open interest; a side that nobody quotes is None and holds nothing up."""
    four = await road.options()
    await pin(road, four[1], "0", "0.35")
    await pin(road, four[2], "2.10", "2.20")
    quotes = await road.broker.option_quotes([*four, four[0]], 5, 30)
    assert quotes[0] == quotes[4]
    told = [quote for quote in quotes if quote is not None]
    assert len(told) == 5
    assert (told[1].bid, told[1].ask) == (None, Decimal("0.35"))
    assert (told[2].bid, told[2].ask, told[2].mid) == (Decimal("2.10"), Decimal("2.20"), Decimal("2.15"))
    for of, quote in zip(four, told, strict=False):
        assert of.option is not None
        assert quote.delta is not None
        assert (quote.delta > 0) == (of.option.right is Right.CALL)
        assert quote.theta is not None
        assert quote.theta < 0
        assert None not in (quote.gamma, quote.vega, quote.volatility, quote.spot, quote.open_interest)
        assert not quote.delayed
    assert await road.lines() == 4


async def pin(road: Road, of: Instrument, bid: str, ask: str) -> None:
    """Fix the market of an option."""
    assert of.option is not None
    await road.control.post(
        "/tws/option",
        symbol=of.symbol,
        expiry=of.option.expiry.isoformat(),
        strike=str(of.option.strike),
        right=of.option.right,
        bid=bid,
        ask=ask,
    )


async def test_one_that_the_broker_does_not_know_holds_up_none(road: Road) -> None:
    """It is None, and the others are told."""
    four = await road.options()
    unknown = replace(four[0], con_id=four[0].con_id + 512)
    quotes = await road.broker.option_quotes([unknown, *four], 5, 30)
    assert quotes[0] is None
    assert None not in quotes[1:]


async def test_data_that_come_late_say_so(road: Road) -> None:
    """Delayed prices are marked."""
    four = await road.options()
    await road.control.post("/tws/market", symbol="AAPL", data="delayed")
    quotes = await road.broker.option_quotes(four, 5, 30)
    assert [quote and quote.delayed for quote in quotes] == [True] * 4


async def test_data_that_nobody_may_have_are_refused(road: Road) -> None:
    """Where the broker refuses all of them, his reason is heard."""
    four = await road.options()
    await road.control.post("/tws/market", symbol="AAPL", data="none")
    with pytest.raises(Refused, match="354"):
        await road.broker.option_quotes(four, 5, 30)


async def test_a_stream_is_shared_and_asked_anew_when_it_is_old(road: Road) -> None:
    """The same options cost no message a second time, and two for each where what stands is too old."""
    four = await road.options()
    await road.broker.option_quotes(four, 5, 30)
    await asyncio.gather(*(road.broker.option_quotes(four, 5, 30) for _ in range(3)))
    quote = await road.broker.quote(four[0], 5, 30)
    assert quote.bid is not None
    assert await road.asked("market_data") == 4
    await road.broker.option_quotes(four, -1, 30)
    assert (await road.asked("market_data"), await road.lines()) == (8, 4)


async def test_lines_are_given_back_before_there_are_too_many(road: Road) -> None:
    """More options than lines are all answered, and those that were to end first go first."""
    many = await road.options("AAPL", 33)
    quotes = await road.broker.option_quotes(many[:6], 5, 30)
    quotes = await road.broker.option_quotes(many[6:], 5, 60)
    assert len(quotes) == 60
    assert None not in quotes
    assert await road.lines() == MOST_LINES
    again = await road.asked("market_data")
    await road.broker.option_quotes(many[6:], 60, 60)
    assert await road.asked("market_data") == again


async def test_what_nobody_looks_at_ends(road: Road) -> None:
    """Each stream goes when its time is over."""
    four = await road.options()
    await road.broker.option_quotes(four[:3], 5, 0)
    await road.broker.option_quotes(four[3:], 5, 600)
    assert await road.lines() == 4
    await road.control.post("/clock", advance=1)
    await road.broker._quotes.end_idle()
    await road.broker.server_time()
    assert await road.lines() == 1


async def test_a_connection_that_goes_while_it_is_asked(road: Road) -> None:
    """It is told as that, and not as options of which nothing came."""
    four = await road.options()
    asked = await road.asked("market_data")
    await road.control.post("/tws/delay", milliseconds=30_000)
    asking = asyncio.create_task(road.broker.option_quotes(four, 5, 30))
    while await road.asked("market_data") < asked + 4:
        pass
    await road.control.post("/tws/drop")
    with pytest.raises(NotConnected):
        await asking


async def test_the_next_dividend(road: Road) -> None:
    """It comes with the prices of the share, and is asked for once a day; one that is over is none."""
    share = await road.broker.find("AAPL")
    today = road.world.clock.now().date()
    await road.control.post("/tws/dividend", symbol="AAPL", ex_date=f"{today + timedelta(9)}", amount="0.26")
    assert await road.broker.dividend(share) == Dividend(today + timedelta(9), Decimal("0.26"))
    assert await road.broker.dividend(share) == Dividend(today + timedelta(9), Decimal("0.26"))
    assert await road.asked("market_data") == 1
    other = await road.broker.find("MSFT")
    await road.control.post("/tws/dividend", symbol="MSFT")
    assert await road.broker.dividend(other) is None


async def test_a_card_and_a_page_are_quick(road: Road) -> None:
    """From nothing to four legs with their Greeks in less than a second; a page of eight strikes in less than one and a half."""
    underlying = await road.broker.find("AAPL")
    begun = time.perf_counter()
    chain = await road.broker.chain(underlying)
    assert (len(chain.expiries) >= 20, len(chain.strikes)) == (True, 100)
    legs = [one for one in await road.broker.options(underlying, wishes(chain, 2)) if one]
    assert None not in await road.broker.option_quotes(legs, 5, 30)
    card = time.perf_counter()
    page = [one for one in await road.broker.options(underlying, wishes(chain, 8, expiry=5)) if one]
    assert len(page) == 16
    assert None not in await road.broker.option_quotes(page, 5, 30)
    shown = time.perf_counter()
    assert (card - begun < 1.0, shown - card < 1.5) == (True, True), (card - begun, shown - card)


# --- orders of them ---------------------------------------------------------------------------------------------------


async def spread_sold(road: Road) -> Instrument:
    """A spread that is sold: the lower strike owed, the higher one owned, of calls."""
    underlying = await road.broker.find("AAPL")
    calls = [one for one in await road.options() if one.option and one.option.right is Right.CALL]
    low, high = calls
    legs = (Leg(low.con_id, -1, low.option), Leg(high.con_id, 1, high.option))
    await pin(road, low, "2.10", "2.20")
    await pin(road, high, "1.50", "1.60")
    return combine.bag(underlying, legs, "Bear call spread")


def limit_order(road: Road, of: Instrument, limit: str, **changes: Any) -> Order:
    """An order for one of them."""
    told = {
        "order_id": road.broker.next_order_id(),
        "order_ref": "01PLAN",
        "con_id": of.con_id,
        "order_type": OrderType.LIMIT,
        "limit_price": Decimal(limit),
        "quantity": Decimal(1),
        "kind": of.kind,
        "option": of.option,
        "legs": of.legs,
        "name": of.name,
        **changes,
    }
    return order(**told)


async def heard(road: Road, wanted: Callable[[BrokerEvent], Any]) -> BrokerEvent:
    """The first thing that the broker has said, or says now, that fits."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for event in road.heard:
                if wanted(event):
                    return event
            road.news.clear()
            await road.news.wait()


async def test_the_margin_of_a_combination(road: Road) -> None:
    """The broker forecasts it, for a credit too, and places nothing."""
    spread = await spread_sold(road)
    told = await road.broker.what_if(
        ticket(Side.BUY, 1, limit="-0.55", instrument=spread, account=road.broker.link.account)
    )
    assert told.initial_margin_change is not None
    assert told.initial_margin_change > 0
    assert await road.broker.open_orders() == ()


async def the_order(road: Road) -> OrderReport:
    """The one that works, as the broker told it last: what he says by himself may stand before the answer."""
    told = {one.order_id: one for one in await road.broker.open_orders()}
    [working] = told.values()
    return working


async def test_a_combination_works_changes_and_is_cancelled(road: Road) -> None:
    """It comes back with the legs and the signed limit with which it left, and a change bears the same number."""
    await road.control.post("/tws/fills", mode="hold")
    spread = await spread_sold(road)
    mine = limit_order(road, spread, "-0.70")
    road.broker.place([mine], spread)
    working = await the_order(road)
    assert (working.kind, working.con_id, working.legs) == ("BAG", spread.con_id, spread.legs)
    assert (working.limit_price, working.side, working.quantity) == (Decimal("-0.70"), Side.BUY, Decimal(1))
    assert (working.order_id, working.order_ref, working.symbol) == (mine.order_id, "01PLAN", "AAPL")
    road.broker.place([replace(mine, limit_price=Decimal("-0.65"))], spread)
    changed = await the_order(road)
    assert (changed.order_id, changed.limit_price) == (mine.order_id, Decimal("-0.65"))
    road.broker.cancel(mine)
    await heard(road, lambda e: isinstance(e, OrderReport) and e.status == "Cancelled")
    assert await road.broker.open_orders() == ()


async def test_a_filled_combination_is_told_as_a_whole_and_by_its_legs(road: Road) -> None:
    """One execution of the whole, at its credit, and one of each leg; what is held then are the legs."""
    spread = await spread_sold(road)
    mine = limit_order(road, spread, "-0.50")
    road.broker.place([mine], spread)
    done = await heard(
        road, lambda e: isinstance(e, OrderReport) and e.status == "Filled" and e.average_price
    )
    assert isinstance(done, OrderReport)
    assert done.average_price is not None
    assert done.average_price <= Decimal("-0.50")
    book = await road.broker.book()
    whole = [e for e in book.executions if e.kind == "BAG"]
    parts = {e.con_id: e for e in book.executions if e.kind == "OPT"}
    assert [(e.price, e.side, e.quantity, e.moves_holding) for e in whole] == [
        (done.average_price, Side.BUY, Decimal(1), False)
    ]
    assert {e.order_ref for e in book.executions} == {"01PLAN"}
    low, high = spread.legs
    assert (parts[low.con_id].side, parts[high.con_id].side) == (Side.SELL, Side.BUY)
    assert parts[high.con_id].price - parts[low.con_id].price == done.average_price
    assert {e.con_id: e.option for e in parts.values()} == {leg.con_id: leg.option for leg in spread.legs}
    held = {p.con_id: p for p in book.positions}
    assert {leg.con_id: held[leg.con_id].signed_quantity for leg in spread.legs} == {
        low.con_id: Decimal(-1),
        high.con_id: Decimal(1),
    }
    assert all((held[leg.con_id].option, held[leg.con_id].kind) == (leg.option, "OPT") for leg in spread.legs)
    assert high.option is not None
    assert held[high.con_id].label == high.option.label("AAPL")
    cost = held[high.con_id].average_cost
    assert cost is not None
    assert abs(cost / 100 - parts[high.con_id].price) < Decimal("0.1")


async def test_an_option_by_itself(road: Road) -> None:
    """Bought at a limit, held with its terms, and worth its market times a hundred."""
    first, *_ = await road.options()
    await pin(road, first, "2.10", "2.20")
    road.broker.place([limit_order(road, first, "2.20")], first)
    await heard(road, lambda e: isinstance(e, Execution) and e.option == first.option)
    await road.broker.option_quotes([first], 5, 30)
    [held] = [one for one in (await road.broker.book()).positions if one.con_id == first.con_id]
    assert (held.kind, held.option, held.signed_quantity) == ("OPT", first.option, Decimal(1))
    assert (held.market_price, held.market_value) == (Decimal("2.15"), Decimal(215))
    assert held.average_cost is not None
    assert held.unrealized == Decimal(215) - held.average_cost


async def test_an_order_of_somebody_else_is_told_with_its_legs(road: Road) -> None:
    """They come as ids; who has never heard of them asks what they are, since a leg without terms would be shares."""
    await road.control.post("/tws/fills", mode="hold")
    spread = await spread_sold(road)
    share = await road.broker.find("AAPL")
    covered = combine.bag(share, (Leg(share.con_id, 100), spread.legs[0]), "Covered call")
    road.broker.place([limit_order(road, spread, "-0.70")], spread)
    road.broker.place([limit_order(road, covered, "150")], covered)
    await road.broker.open_orders()
    async with connected(road.world, client_id=5) as other:
        found = {one.order_id: one.legs for one in await other.broker.open_orders()}
        assert set(found.values()) == {spread.legs, covered.legs}
        before = await road.asked("contract_details")
        await other.broker.open_orders()
        assert await road.asked("contract_details") == before


async def test_an_extra_that_is_refused_costs_no_prices(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the broker refuses what is asked beside the prices, prices are asked for alone, and from then on at once."""
    monkeypatch.setitem(MORE_TICKS, "OPT", "162")  # the premium of an index future
    four = await road.options()
    found = await road.broker.option_quotes(four[:2], 5, 30)
    assert [one is not None and one.bid is not None and one.delta is not None for one in found] == [True] * 2
    assert [one and one.open_interest for one in found] == [None, None]
    assert (await road.asked("market_data"), road.codes()) == (4, [321, 321])
    assert None not in await road.broker.option_quotes(four[2:], 5, 30)
    assert await road.asked("market_data") == 6
