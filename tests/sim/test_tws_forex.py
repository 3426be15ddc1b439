"""Pairs of currencies and indices: prices that fit together, deals that move money in two currencies, and what cannot be bought."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import Forex, Index, LimitOrder, MarketOrder, StopOrder

from sim.tws import hours
from sim.tws.contracts import BY_ID, DOLLAR_PAIRS, INSTRUMENTS, named
from sim.tws.engine import Engine
from sim.tws.market import Market
from sim.tws.terms import terms
from tests.sim.test_tws_books import Deaf
from tests.sim.tws_kit import Tws, running_tws, until

EURUSD, USDJPY, SPX = BY_ID[12087792], BY_ID[15016059], BY_ID[416904]
NOON = datetime(2026, 3, 4, 17, tzinfo=UTC)
ACCOUNT = "DU1"
moments = st.integers(1_704_067_200, 1_893_456_000).map(lambda at: datetime.fromtimestamp(at, UTC))


@pytest.fixture
async def tws() -> AsyncIterator[Tws]:
    async with running_tws() as running:
        yield running


# -- prices


@given(moments, st.sampled_from([one for one in INSTRUMENTS if one.legs]))
def test_cross_rates_follow_from_the_dollar_rates(at: datetime, cross: object) -> None:
    """Nobody can gain by going round in a circle: a cross rate is that of its legs, but for a few ticks."""
    market, product = Market(1), Decimal(1)
    assert hasattr(cross, "legs")
    for leg, power in cross.legs:
        product *= market.quote(leg, at).last ** power
    quote = market.quote(cross.con_id, at)  # type: ignore[attr-defined]
    assert abs(quote.last / product - 1) < Decimal("0.0004")


@given(moments)
def test_the_rates_of_an_account_are_those_of_the_market(at: datetime) -> None:
    market = Market(1)
    assert market.rate("USD", at) == 1
    assert market.rate("EUR", at) == market.quote(EURUSD.con_id, at).last
    assert round(market.rate("JPY", at) * market.quote(USDJPY.con_id, at).last, 5) == 1
    assert {one.currency for one in INSTRUMENTS} <= {"USD", *DOLLAR_PAIRS}


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        (datetime(2026, 3, 1, 22, 14, tzinfo=UTC), False),  # Sunday 17:14 in New York
        (datetime(2026, 3, 1, 22, 15, tzinfo=UTC), True),
        (datetime(2026, 3, 4, 21, 59, tzinfo=UTC), True),
        (datetime(2026, 3, 4, 22, 5, tzinfo=UTC), False),  # the pause of the day
        (datetime(2026, 3, 6, 21, 59, tzinfo=UTC), True),
        (datetime(2026, 3, 6, 22, 0, tzinfo=UTC), False),  # Friday 17:00
        (datetime(2026, 3, 7, 12, 0, tzinfo=UTC), False),
        (datetime(2026, 11, 26, 15, 0, tzinfo=UTC), True),  # Thanksgiving is no holiday of currencies
    ],
)
def test_when_currencies_are_traded(at: datetime, open_: bool) -> None:
    assert hours.FOREX.is_open(at) is open_


def test_hours_of_a_pair_and_an_index_on_the_wire() -> None:
    at = datetime(2026, 3, 5, 15, tzinfo=UTC)
    told = hours.wire_hours(at, True, 5, calendar=hours.FOREX)
    assert told == (
        "20260304:1715-20260305:1700;20260305:1715-20260306:1700;20260307:CLOSED;20260308:CLOSED;20260308:1715-20260309:1700"
    )
    assert (
        hours.wire_hours(at, True, 1, calendar=hours.INDICES, zone="US/Central")
        == "20260305:0830-20260305:1500"
    )


def test_what_a_person_means_by_a_symbol() -> None:
    assert named("eur.usd") is EURUSD
    assert named("SPX") is SPX
    assert named("nothing") is None


# -- books


def dealt(engine: Engine, order_id: int, action: str, quantity: int, pair: object = EURUSD) -> Decimal:
    """A market order in a pair, and the price it got."""
    said = {"action": action, "totalQuantity": str(quantity), "orderType": "MKT"}
    engine.place(1, order_id, pair, "IDEALPRO", terms(said), NOON + timedelta(minutes=order_id))  # type: ignore[arg-type]
    order = engine.register.find(1, order_id)
    assert order is not None
    assert order.status == "Filled"
    return order.average


def test_a_deal_moves_money_in_both_currencies() -> None:
    engine = Engine(1, Market(1), Deaf())
    engine.ledger.open_account(ACCOUNT, NOON)
    cash = engine.ledger.accounts[ACCOUNT].cash
    dollars = cash["USD"]
    bought = dealt(engine, 1, "BUY", 30_000)
    assert cash == {"USD": dollars - 30_000 * bought - 2, "EUR": Decimal(30_000)}
    sold = dealt(engine, 2, "SELL", 30_000)
    assert cash == {"USD": dollars - 30_000 * (bought - sold) - 4, "EUR": Decimal(0)}
    position = engine.ledger.positions[ACCOUNT, EURUSD.con_id]
    assert (position.quantity, position.realized) == (Decimal(0), 30_000 * (sold - bought) - 2)


def test_a_deal_without_the_base_currency_costs_dollars() -> None:
    engine = Engine(1, Market(1), Deaf())
    engine.ledger.open_account(ACCOUNT, NOON)
    cash = engine.ledger.accounts[ACCOUNT].cash
    dollars = cash["USD"]
    price = dealt(engine, 1, "BUY", 200_000, BY_ID[12087807])
    [execution] = engine.ledger.executions.values()
    rate = engine.market.rate("GBP", NOON + timedelta(minutes=1))
    assert (cash["EUR"], cash["GBP"]) == (Decimal(200_000), -200_000 * price)
    assert execution.commission == max(Decimal(2), round(200_000 * price * rate * Decimal("0.00002"), 6))
    assert (dollars - cash["USD"], execution.currency) == (execution.commission, "USD")


def test_a_pair_counts_once() -> None:
    """Who changes dollars into euros is hardly richer or poorer for it: the money counts, not the position beside it."""
    engine = Engine(1, Market(1), Deaf())
    engine.ledger.open_account(ACCOUNT, NOON)
    later = NOON + timedelta(minutes=1)
    before = engine.ledger.margin(ACCOUNT, later)
    dealt(engine, 1, "BUY", 30_000)
    after = engine.ledger.margin(ACCOUNT, later)
    assert 0 < before.net_liquidation - after.net_liquidation < 10
    assert before.stock_value == after.stock_value
    assert after.initial - before.initial == pytest.approx(Decimal(30_000) * engine.market.rate("EUR", later) * Decimal("0.025"), abs=1)  # fmt: skip


# -- over the wire


async def test_a_pair_traded_with_ib_async(tws: Tws) -> None:
    """Description, quotes, an order of each kind, the books: as a user of the library sees them."""
    ib = await tws.connect()
    [details] = await ib.reqContractDetailsAsync(Forex("EURUSD"))
    pair = details.contract
    assert pair is not None
    assert (pair.conId, pair.localSymbol, details.minTick) == (12087792, "EUR.USD", 0.00005)
    await tws.post("/tws/price", symbol="EUR.USD", bid=1.08, ask=1.0801)
    ticker = ib.reqMktData(pair)
    await until(ib, lambda: (ticker.bid, ticker.ask) == (1.08, 1.0801))
    assert ticker.last != ticker.last  # there is none
    small = ib.placeOrder(pair, MarketOrder("BUY", 1_000))
    await until(ib, lambda: small.fills and small.fills[-1].commissionReport.execId)
    assert (399, "odd lot order" in tws.errors[-1][2]) == (tws.codes()[-1], True)
    stop = ib.placeOrder(pair, StopOrder("SELL", 1_000, 1.07))
    limit = ib.placeOrder(pair, LimitOrder("BUY", 30_000, 1.079))
    await until(
        ib, lambda: limit.orderStatus.status == "Submitted" and stop.orderStatus.status == "PreSubmitted"
    )
    await tws.post("/tws/price", symbol="EUR.USD", bid=1.069, ask=1.0691)
    await until(ib, lambda: stop.isDone() and limit.isDone())
    assert (stop.orderStatus.avgFillPrice, limit.orderStatus.avgFillPrice) == (1.069, 1.0691)
    await until(ib, lambda: [p.position for p in ib.positions() if p.contract.secType == "CASH"] == [30_000])
    values = {(v.tag, v.currency): v.value for v in await ib.accountSummaryAsync() if v.tag == "ExchangeRate"}
    assert float(values["ExchangeRate", "EUR"]) == pytest.approx(1.06905)
    asked = await ib.whatIfOrderAsync(pair, MarketOrder("SELL", 30_000))
    assert (asked.commission, asked.commissionCurrency) == (2.0, "USD")


async def test_an_index_can_be_looked_at_and_not_bought(tws: Tws) -> None:
    ib = await tws.connect()
    spx = Index("SPX", "CBOE", "USD")
    await ib.qualifyContractsAsync(spx)
    [ticker] = await ib.reqTickersAsync(spx)
    assert ticker.last > 1_000
    assert ticker.bid != ticker.bid
    order = ib.placeOrder(spx, MarketOrder("BUY", 1))
    await until(ib, order.isDone)
    assert tws.codes() == [387]
    bars = await ib.reqHistoricalDataAsync(spx, "", "5 D", "1 day", "TRADES", True)
    assert {bar.volume for bar in bars} == {0}


async def test_profit_and_loss_of_a_position_of_today(tws: Tws) -> None:
    """The day's profit of a position that was opened today is what it gained since, less its commissions."""
    ib = await tws.connect()
    await tws.post("/tws/price", symbol="EUR.USD", bid=1.08, ask=1.0801)
    deal = ib.placeOrder(Forex("EURUSD"), MarketOrder("BUY", 100_000))
    await until(ib, lambda: deal.fills and deal.fills[-1].commissionReport.execId)
    await tws.post("/tws/price", symbol="EUR.USD", bid=1.0811, ask=1.0812)
    single = ib.reqPnLSingle("DU1234567", "", 12087792)
    await until(ib, lambda: single.position == 100_000)
    assert single.unrealizedPnL == pytest.approx(105)
    assert single.dailyPnL == pytest.approx(105 - 2.1602, abs=0.001)
    nothing = ib.reqPnLSingle("DU1234567", "", 4391)
    await until(ib, lambda: nothing.conId == 4391 and single.value > 0)
    assert nothing.dailyPnL != nothing.dailyPnL  # never held: not zero, unknown
